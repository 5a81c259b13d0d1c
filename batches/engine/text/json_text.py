"""Read JSON from outside tolerantly, and write it as one line that can be stored."""

import json
import re
from typing import Any

from pydantic_core import from_json

# Characters after a complete value that have no meaning.
_PADDING = " \t\r\n\x00\ufeff"

# An escaped backslash first, so that `\\u0000` (a backslash and a text) is left alone.
_ESCAPE = re.compile(
    r"\\\\"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<unstorable>\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_RISKY_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


# Characters beside CR and LF that `str.splitlines()` and similar functions treat as line ends, with
# their JSON escapes. In JSON text they occur only inside strings.
_LINE_BREAKS = {char: f"\\u{ord(char):04x}" for char in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"}


def one_line(text: str) -> str:
    """Escape all line ends in JSON text without line feeds, so that it is one line everywhere."""
    for char, escape in _LINE_BREAKS.items():
        # Much faster than a pattern or a table, and the search is faster than a replacement.
        if char in text:
            text = text.replace(char, escape)
    return text


def storable(raw: bytes) -> str:
    """Return a JSON text as one line that every database and parser accepts.

    NUL and lone surrogates become U+FFFD, NaN and infinities become null. Raise ValueError or
    RecursionError for text that is not JSON.
    """
    text = raw.decode("utf-8")
    if "\\" in text and _RISKY_ESCAPE.search(text):
        text = _ESCAPE.sub(lambda m: "\\ufffd" if m["unstorable"] else m[0], text)
    if "\n" in text or "\r" in text or "NaN" in text or "Infinity" in text:
        # A float that is too large becomes an infinity only when read, so it is read as null too.
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) != float("inf") else None


def storable_value(value: Any) -> str:
    """Return a JSON value as one line that can be stored."""
    return storable(json.dumps(value).encode())


class Document:
    """A JSON object or list from outside; with `any_value`, any JSON.

    `text` is its storable line, `value` its parsed form, if known. `notes` describe oddities of the
    bytes. `is_damaged` is True if some bytes could not be decoded.
    """

    def __init__(
        self,
        text: str,
        *,
        notes: tuple[str, ...] = (),
        is_damaged: bool = False,
        any_value: bool = False,
        value: Any = None,
    ) -> None:
        self.text = text
        self.value = from_json(text) if value is None else value
        self.notes = notes
        self.is_damaged = is_damaged
        if not any_value and not isinstance(self.value, dict | list):
            raise ValueError("the JSON is neither an object nor a list")


def read_document(raw: bytes) -> Document:
    """Return the JSON in these bytes. Raise ValueError if there is none, or it is incomplete.

    A byte order mark, another Unicode encoding, raw control characters in a string, and text after
    a complete value are accepted; they may add a note.
    """
    try:
        return _plain_document(raw) or Document(storable(raw))
    except (ValueError, RecursionError) as error:
        try:
            return _read_oddly(raw)
        except (ValueError, RecursionError):
            raise ValueError(str(error) or type(error).__name__) from error


def _plain_document(raw: bytes) -> Document | None:
    """Return the JSON in these bytes if it can be stored unchanged, as most replies can.

    To search a long reply for words such as NaN takes longer than to parse it.
    """
    text = raw.decode()
    if "\n" in text or "\r" in text or ("\\" in text and _RISKY_ESCAPE.search(text)):
        return None
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
    return Document(text, value=value)


def _read_oddly(raw: bytes) -> Document:
    encoding = json.detect_encoding(raw)
    text = raw.decode(encoding, "replace")
    is_damaged = text != raw.decode(encoding, "ignore")
    text = text.lstrip(_PADDING)
    if text.startswith('"'):
        # The JSON was encoded as JSON twice.
        inner = read_document(json.loads(text).encode())
        return Document(inner.text, notes=("the JSON was encoded as a string", *inner.notes))
    if text[:1] not in ("{", "["):
        raise ValueError("the JSON is neither an object nor a list")
    value, end = json.JSONDecoder(strict=False).raw_decode(text)
    notes = []
    if text[end:].strip(_PADDING):
        notes.append("the text after the JSON was ignored")
    if is_damaged:
        notes.append("bytes that are not valid text were replaced")
    return Document(storable_value(value), notes=tuple(notes), is_damaged=is_damaged)
