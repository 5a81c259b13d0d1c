"""Read the tokens of a call from the provider's counts, or estimate them."""

import math
import re
from typing import Any

from batches.engine.endpoints import rules_of
from batches.engine.records import MAX_TOKENS, Usage
from batches.engine.replies.fields import Notes, kind_of
from batches.engine.text.volume import tokens_read, tokens_written

_INPUT = (
    *("prompt_tokens", "input_tokens", "promptTokens", "inputTokens"),
    *("promptTokenCount", "inputTokenCount", "prompt_token_count", "input_token_count"),
)
_OUTPUT = (
    *("completion_tokens", "output_tokens", "completionTokens", "outputTokens"),
    *("candidatesTokenCount", "outputTokenCount", "candidates_token_count", "output_token_count"),
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
# Google counts thoughts in addition to the answer, other providers within it.
_THOUGHTS_BESIDE = ("thoughtsTokenCount", "thoughts_token_count")
# Names of a detail that is next to the counts, not in an object of its own.
_BESIDE = {
    "cached_tokens": (
        *("cached_tokens", "prompt_cache_hit_tokens", "cacheReadInputTokens"),
        *("cachedContentTokenCount", "cached_content_token_count"),
    ),
    "reasoning_tokens": ("reasoning_tokens", *_THOUGHTS_BESIDE),
}
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")


def read_usage(given: Any, *, endpoint: str, asked: bytes, written: str, notes: Notes) -> Usage:
    """Return the tokens of a reply; `written` is the text that the model wrote in it.

    A missing count is derived from the total, else estimated from `asked` (the request) and
    `written`, if the endpoint counts tokens at all. A count of 0 counts as missing if something was
    read or written.
    """
    if not rules_of(endpoint).counts_tokens:
        asked = b""
    fields = _fields(given, notes)
    read, made, total = (_first(fields, names, notes) for names in (_INPUT, _OUTPUT, _TOTAL))
    made = _sum(made, _first(fields, _THOUGHTS_BESIDE, notes))
    is_shared = bool(total) and not read and not made
    if total and is_shared:
        made = min(tokens_written(written), total)
        read = total - made
    elif total and read and not made:
        made = max(total - read, 0)
    elif total and made and not read:
        read = max(total - made, 0)
    is_guessed = bool((not read and asked) or (not made and written))
    usage = Usage(
        input_tokens=read or (0 if is_shared else tokens_read(asked, endpoint)),
        output_tokens=made or (0 if is_shared else tokens_written(written)),
        cached_tokens=_detail(fields, _INPUT_DETAILS, "cached_tokens", notes),
        reasoning_tokens=_detail(fields, _OUTPUT_DETAILS, "reasoning_tokens", notes),
        is_estimated=bool(written) if is_shared else is_guessed,
    )
    if usage.is_estimated:
        notes.add(
            "the provider did not count all tokens: "
            f"{usage.input_tokens} in, {usage.output_tokens} out is an estimate"
        )
    return usage


def _sum(made: int | None, thoughts: int | None) -> int | None:
    return min(made + thoughts, MAX_TOKENS) if made is not None and thoughts else made


def _fields(given: Any, notes: Notes) -> dict[str, Any]:
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, dict):
        return given
    if given is not None:
        notes.add(f"usage was {kind_of(given)}")
    return {}


def _first(fields: dict[str, Any], names: tuple[str, ...], notes: Notes) -> int | None:
    """Return the first count that has one of these names."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        count = count_of(value)
        if count is not None:
            return count
        notes.add(f"usage.{name} was not a count")
    return None


def _detail(fields: dict[str, Any], places: tuple[str, ...], name: str, notes: Notes) -> int:
    for place in places:
        details = fields.get(place)
        if isinstance(details, dict) and (count := _first(details, (name,), notes)):
            return count
        if details is not None and not isinstance(details, dict):
            notes.add(f"usage.{place} was {kind_of(details)}")
    return _first(fields, _BESIDE[name], notes) or 0


def count_of(value: Any) -> int | None:
    """Return a count of tokens from a number or a text; None if it is not a count."""
    if type(value) is int and value >= 0:
        return min(value, MAX_TOKENS)
    if isinstance(value, str):
        value = _number(value.strip())
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or value < 0:
        return None
    return min(math.ceil(value), MAX_TOKENS)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    except ValueError:
        return None
