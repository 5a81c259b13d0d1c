"""The filters of templates. They replace the filters of Jinja, which are not bounded."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import StrictUndefined

from batches.engine.text.volume import CHARS_PER_TOKEN
from batches.inputs.row_templates.images import IMAGE, MARK
from batches.inputs.row_templates.work_meter import WorkMeter

ELLIPSIS = "…"
MAX_DECIMALS = 20
MAX_NUMBER_CHARS = 400
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class WrongValue(Exception):
    """A value cannot be used in this place; the message is a sentence."""


def text_of(meter: WorkMeter, value: Any) -> str:
    """Return the text of a value as it stands in a prompt: null is empty, a list is JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value) if type(value) in (int, float) else as_json(meter, value)


def as_json(meter: WorkMeter, value: Any) -> str:
    """Return a value as compact JSON text."""
    if isinstance(value, StrictUndefined):
        str(value)
    meter.built(value)
    text: str = _ENCODER.encode(value)
    # Escapes take more characters than what they stand for.
    meter.allow_text(len(text))
    return text


def truncate(meter: WorkMeter, value: Any, most: Any) -> str:
    """Return a text of at most `most` characters; a text that is cut ends with an ellipsis."""
    return _cut(meter, text_of(meter, value), _number(most, "truncate"))


def tokens(meter: WorkMeter, value: Any, most: Any) -> str:
    """Return a text of about `most` tokens at most."""
    return _cut(meter, text_of(meter, value), _number(most, "tokens") * CHARS_PER_TOKEN)


def image(meter: WorkMeter, value: Any) -> str:
    """Return an address between marks, by which it becomes a part of its own."""
    address = text_of(meter, value).strip()
    if not address:
        raise WrongValue(
            "The filter 'image' has no address of an image. If some rows have none, write "
            "{% if photo %}{{ photo | image }}{% endif %}."
        )
    meter.allow_text(len(address) + 2)
    return f"{MARK}{address}{MARK}"


def _cut(meter: WorkMeter, text: str, most: int) -> str:
    if len(text) <= most:
        return text
    meter.allow_text(most)
    return text[: most - 1].rstrip() + ELLIPSIS if most else ""


def _number(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= 10**9:
        raise WrongValue(f"The filter '{name}' needs a whole number, such as {name}(500).")
    return int(value)


def default(_: WorkMeter, value: Any, other: Any, _empty: Any = None) -> Any:
    """Return the other value for null or an empty text."""
    return other if value is None or value == "" else value


def _changed(change: Callable[[str], str], meter: WorkMeter, value: Any) -> str:
    text = text_of(meter, value)
    meter.allow_text(len(text))
    return change(text)


def replace(meter: WorkMeter, value: Any, old: Any, new: Any) -> str:
    """Return a text with all occurrences of a text replaced."""
    text = text_of(meter, value)
    before, after = text_of(meter, old), text_of(meter, new)
    meter.searched(text)
    meter.allow_text(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def length(_: WorkMeter, value: Any) -> int:
    """Return the number of characters or items."""
    return 0 if value is None else len(value)


def join(meter: WorkMeter, value: Any, between: Any = "") -> str:
    """Return the items of a list as one text."""
    mark = text_of(meter, between)
    items = [text_of(meter, item) for item in items_of(value)]
    meter.allow_text(sum(map(len, items)) + len(mark) * len(items))
    return mark.join(items)


def items_of(value: Any) -> list[Any]:
    """Return the items of a list, or the names of a mapping."""
    if isinstance(value, list | tuple | Mapping):
        return list(value)
    if isinstance(value, StrictUndefined):
        iter(value)
    raise WrongValue(
        "A loop or 'join' needs a list, such as ['a', 'b'] or the columns in 'row | items'."
    )


def pairs(meter: WorkMeter, value: Any) -> list[tuple[Any, Any]]:
    """Return the names and values of a mapping, such as the columns of the row."""
    if not isinstance(value, Mapping):
        raise WrongValue("The filter 'items' needs the row: row | items.")
    meter.spend(len(value))
    return list(value.items())


def rounded(_: WorkMeter, value: Any, decimals: Any = 0) -> float:
    """Return a number, rounded."""
    if not isinstance(value, int | float) or type(decimals) is not int:
        raise WrongValue("The filter 'round' needs a number: stars | float | round(1).")
    return round(value, min(max(decimals, 0), MAX_DECIMALS))


def whole_number(_: WorkMeter, value: Any, other: Any = 0) -> Any:
    """Return the whole number that a text has, or another value if there is none."""
    number = _parsed(value, int, None)
    return _parsed(_parsed(value, float, None), int, other) if number is None else number


def real_number(_: WorkMeter, value: Any, other: Any = 0.0) -> Any:
    """Return the number that a text has, or another value if there is none."""
    return _parsed(value, float, other)


def _parsed(value: Any, kind: Callable[[Any], Any], other: Any) -> Any:
    # Parsing takes longer than the text is long.
    if isinstance(value, str) and len(value) > MAX_NUMBER_CHARS:
        return other
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        return other


def first(_: WorkMeter, value: Any) -> Any:
    """Return the first character or item, or an empty text."""
    return next(iter(value), "")


def last(_: WorkMeter, value: Any) -> Any:
    """Return the last character or item, or an empty text."""
    return value[-1] if value else ""


def concatenated(meter: WorkMeter, value: Any) -> str:
    """Return the texts around the operator `~` as one."""
    return join(meter, value)


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A filter, and the number of arguments that it takes in parentheses."""

    function: Callable[..., Any]
    least: int = 0
    most: int = 0


FILTERS: Mapping[str, FilterRule] = {
    "json": FilterRule(as_json),
    "truncate": FilterRule(truncate, 1, 1),
    "tokens": FilterRule(tokens, 1, 1),
    # Jinja's second argument, for empty texts, is accepted: they are always replaced.
    "default": FilterRule(default, 1, 2),
    "upper": FilterRule(partial(_changed, str.upper)),
    "lower": FilterRule(partial(_changed, str.lower)),
    "title": FilterRule(partial(_changed, str.title)),
    "capitalize": FilterRule(partial(_changed, str.capitalize)),
    "trim": FilterRule(partial(_changed, str.strip)),
    "replace": FilterRule(replace, 2, 2),
    "length": FilterRule(length),
    "join": FilterRule(join, 0, 1),
    "items": FilterRule(pairs),
    "first": FilterRule(first),
    "last": FilterRule(last),
    "round": FilterRule(rounded, 0, 1),
    "int": FilterRule(whole_number, 0, 1),
    "float": FilterRule(real_number, 0, 1),
    "string": FilterRule(text_of),
    IMAGE: FilterRule(image),
}
