"""JSON from outside: read tolerantly, and written as one line that can be stored."""

import json
import re
from typing import Any

from pydantic_core import from_json

# Characters that may follow a whole value without a meaning of their own.
_PADDING = " \t\r\n\x00\ufeff"

# An escaped backslash first, so that `\\u0000` (a backslash and a text) is left alone.
_ESCAPE = re.compile(
    r"\\\\"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<unstorable>\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_RISKY_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


# Where `str.splitlines()` and its like in other languages see the end of a line, beside CR and LF,
# with what JSON writes for it. In JSON text they stand inside strings alone.
_LINE_BREAKS = {char: f"\\u{ord(char):04x}" for char in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"}


def one_line(text: str) -> str:
    """Return JSON text without line feeds as one line to every reader of lines."""
    for char, escape in _LINE_BREAKS.items():
        # Much faster than a pattern or a table, where there is none: then the text is not copied.
        text = text.replace(char, escape)
    return text


def storable(raw: bytes) -> str:
    """Return a JSON text as one line that every database and parser takes.

    NUL and lone surrogates become U+FFFD, NaN and infinities null. Raises ValueError or
    RecursionError for what is no JSON.
    """
    text = raw.decode("utf-8")
    if _RISKY_ESCAPE.search(text):
        text = _ESCAPE.sub(lambda m: "\\ufffd" if m["unstorable"] else m[0], text)
    if "\n" in text or "\r" in text or "NaN" in text or "Infinity" in text:
        # A float too large becomes an infinity only when read, so it is read as null too.
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
    """A JSON object or list that came from outside; with `any_value`, any JSON.

    `text` is its storable line. `notes` say what was odd about the bytes. `is_damaged` is True if
    some bytes could not be decoded.
    """

    def __init__(
        self,
        text: str,
        *,
        notes: tuple[str, ...] = (),
        is_damaged: bool = False,
        any_value: bool = False,
    ) -> None:
        self.text = text
        self.value: Any = from_json(text)
        self.notes = notes
        self.is_damaged = is_damaged
        if not any_value and not isinstance(self.value, dict | list):
            raise ValueError("it is neither an object nor a list")


def read_document(raw: bytes) -> Document:
    """Return the JSON in these bytes. Raises ValueError if there is none, or only a part of one.

    A byte order mark, another Unicode encoding, raw control characters in a text, and what follows
    a whole value cost nothing but a note.
    """
    try:
        return Document(storable(raw))
    except (ValueError, RecursionError) as error:
        try:
            return _read_oddly(raw)
        except (ValueError, RecursionError):
            raise ValueError(str(error) or type(error).__name__) from error


def _read_oddly(raw: bytes) -> Document:
    encoding = json.detect_encoding(raw)
    text = raw.decode(encoding, "replace")
    is_damaged = text != raw.decode(encoding, "ignore")
    text = text.lstrip(_PADDING)
    if text.startswith('"'):
        # JSON that was made into JSON once more.
        inner = read_document(json.loads(text).encode())
        return Document(inner.text, notes=("the JSON came as a text", *inner.notes))
    if text[:1] not in ("{", "["):
        raise ValueError("it is neither an object nor a list")
    value, end = json.JSONDecoder(strict=False).raw_decode(text)
    notes = []
    if text[end:].strip(_PADDING):
        notes.append("what follows the JSON was left out")
    if is_damaged:
        notes.append("bytes that are no text were replaced")
    return Document(storable_value(value), notes=tuple(notes), is_damaged=is_damaged)
