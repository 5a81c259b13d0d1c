"""Write values as JSON in UTF-8, or name the first part that cannot be sent."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from batches.engine.errors import PromptRejected
from batches.engine.text.wording import dotted

Path = tuple[str | int, ...]

NUL = "\0"
_HALF = re.compile("[\ud800-\udfff]")


class Fault(NamedTuple):
    """The first part of a value that cannot be sent or stored."""

    place: str
    reason: str

    def __str__(self) -> str:
        subject = f"'{self.place}'" if self.place else "A name in the value"
        return f"{subject} {self.reason}"


def fault_of(value: Any, name: str, *, allow_nul: bool = True) -> Fault | None:
    """Return the first fault of a value, if any; `name` is the name of the value in messages."""
    for path, item in _walk(value):
        reason = _reason(item, allow_nul=allow_nul)
        if reason:
            return Fault(dotted((name, *path) if name else path), reason)
    return None


def sendable_json(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON. Raise PromptRejected if it cannot be sent."""
    with suppress(ValueError):
        raw = to_json(body)
        # This writer takes anything, such as bytes or infinities; JSON reads back as it was.
        if from_json(raw, allow_inf_nan=False) == body:
            return raw
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _unsendable(body, error) from error


def _unsendable(body: Any, error: Exception) -> PromptRejected:
    """Return the error for a body that cannot be written as JSON, with the place if known."""
    # A value that is nested too deeply, or is not JSON at all, is not searched.
    known = isinstance(error, ValueError) and fault_of(body, "body")
    message = str(known) if known else f"'body' cannot be sent as JSON: {error}."
    return PromptRejected(message, param="body")


def text_fault(text: str, *, allow_nul: bool = True) -> str:
    """Return the reason why a text cannot be sent; "" if it can."""
    half = None if text.isascii() else _HALF.search(text)
    if half:
        code = half[0].encode("unicode_escape").decode()
        return (
            f"contains half of a surrogate pair ({code}), which is not a character and cannot be "
            "sent. Remove it, or give the whole character."
        )
    if NUL in text and not allow_nul:
        return "contains the character NUL (U+0000), which cannot be stored. Remove it."
    return ""


def _reason(item: Any, *, allow_nul: bool) -> str:
    if isinstance(item, str):
        return text_fault(item, allow_nul=allow_nul)
    if isinstance(item, float) and not math.isfinite(item):
        what = "NaN is not JSON" if math.isnan(item) else "a number is out of range"
        return f"cannot be sent: {what}. Give a finite number, or null."
    return ""


def _walk(value: Any) -> Iterator[tuple[Path, Any]]:
    """Yield all values inside a value, and the names of its properties, level by level."""
    level: list[tuple[Path, Any]] = [((), value)]
    while level:
        below: list[tuple[Path, Any]] = []
        for path, item in level:
            yield path, item
            if isinstance(item, Mapping):
                yield from ((path, key) for key in item)
                below += (((*path, str(key)), inner) for key, inner in item.items())
            elif isinstance(item, list | tuple):
                below += (((*path, number), inner) for number, inner in enumerate(item))
        level = below
