"""Messages about invalid input: each names the field, the value and what is allowed.

Official clients print only the message, so it must be clear without the `param` beside it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from batches.engine.errors import PromptRejected

MAX_SHOWN_CHARS = 60
MOST_NAMED = 20
# A longer name is not a typing error, and takes long to compare.
MAX_COMPARED_CHARS = 100


def missing(param: str, hint: str = "") -> PromptRejected:
    """Return the error for a missing parameter, with a hint."""
    return PromptRejected(missing_text(param, hint), param=param, code="missing_required_parameter")


def wrong_type(param: str, value: Any, expected: str) -> PromptRejected:
    """Return the error for a value of the wrong type."""
    return PromptRejected(type_text(param, value, expected), param=param, code="invalid_type")


def wrong_value(
    param: str, value: Any, expected: str, *, code: str = "invalid_value"
) -> PromptRejected:
    """Return the error for an invalid value; `expected` is a full sentence."""
    return PromptRejected(value_text(param, value, expected), param=param, code=code)


def missing_text(param: str, hint: str = "") -> str:
    return f"Missing required parameter: '{param}'.{hint and f' {hint}'}"


def type_text(param: str, value: Any, expected: str) -> str:
    return f"Invalid type for '{param}': expected {expected}, but got {described(value)} instead."


def value_text(param: str, value: Any, expected: str) -> str:
    return f"Invalid value for '{param}': {shown(value)}. {expected}"


def supported(values: Iterable[Any]) -> str:
    """Return the sentence that lists the supported values."""
    *rest, last = map(shown, values)
    names = f"{', '.join(rest)} and {last}" if rest else last
    return f"Supported values are: {names}."


def shown(value: Any) -> str:
    """Return a value for a message: on one line, and short."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping | list | tuple):
        return described(value)
    return shortened(json.dumps(value, default=str))


def quoted(text: str) -> str:
    """Return a text in quotes, shortened, with invisible characters as escapes."""
    return f"'{shortened(_visible(text[: MAX_SHOWN_CHARS + 1]))}'"


def shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def described(value: Any) -> str:
    """Return the kind of a value, with the value itself if it is short."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the string {quoted(value)}" if value else "an empty string"
    for kind, name in ((Mapping, "object"), (list | tuple, "array")):
        if isinstance(value, kind):
            return f"an {name}" if value else f"an empty {name}"
    if isinstance(value, int | float):
        return f"the {'boolean' if isinstance(value, bool) else 'number'} {shown(value)}"
    return shortened(repr(value))


def dotted(path: Iterable[str | int]) -> str:
    """Return a path in a body in the usual notation: requests[3].body.model."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else _visible(part[:MAX_COMPARED_CHARS])
        text += f".{name}" if text and isinstance(part, str) else name
    return text


def did_you_mean(name: str, names: Iterable[Any]) -> str:
    """Return a question that suggests a similar name; "" if there is none."""
    known = {text.casefold(): text for text in names if isinstance(text, str)}
    wanted = name.casefold()
    if len(wanted) > MAX_COMPARED_CHARS:
        return ""
    close = get_close_matches(wanted, [text for text in known if len(text) <= MAX_COMPARED_CHARS])
    return f" Did you mean {quoted(known[close[0]])}?" if close else ""


def named(names: Sequence[str]) -> str:
    """Return names in quotes; of a long list, the first ones and the number of the others."""
    first = ", ".join(map(quoted, names[:MOST_NAMED]))
    more = len(names) - MOST_NAMED
    return f"{first} and {more} more" if more > 0 else first


def _visible(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
