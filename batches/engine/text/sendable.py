"""What a value may not hold to be sent as JSON in UTF-8, with the place of the first fault."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from batches.engine.errors import PromptRejected
from batches.engine.text.wording import dotted

Path = tuple[str | int, ...]

NUL = "\0"


class Fault(NamedTuple):
    """The first thing in a value that cannot be sent or stored."""

    place: str
    reason: str

    def __str__(self) -> str:
        subject = f"'{self.place}'" if self.place else "A name in the value"
        return f"{subject} {self.reason}"


def fault_of(value: Any, name: str, *, allow_nul: bool = True) -> Fault | None:
    """Return what cannot be sent of a value that is called by this name, if there is anything."""
    for path, item in _walk(value):
        reason = _reason(item, allow_nul=allow_nul)
        if reason:
            return Fault(dotted((name, *path) if name else path), reason)
    return None


def unsendable(body: Any, error: Exception) -> PromptRejected:
    """Return the refusal of a body that could not be written as JSON, with the place if known."""
    # What is nested too deep, or is no JSON at all, is not searched.
    known = isinstance(error, ValueError) and fault_of(body, "body")
    message = str(known) if known else f"'body' cannot be sent as JSON: {error}."
    return PromptRejected(message, param="body")


def text_fault(text: str, *, allow_nul: bool = True) -> str:
    """Return why a text cannot be sent, or nothing."""
    half = next((char for char in text if "\ud800" <= char <= "\udfff"), "")
    if half:
        code = half.encode("unicode_escape").decode()
        return (
            f"holds half of a surrogate pair ({code}), which is no character and cannot be sent. "
            "Remove it, or give the whole character."
        )
    if NUL in text and not allow_nul:
        return "holds the character NUL (U+0000), which cannot be stored. Remove it."
    return ""


def _reason(item: Any, *, allow_nul: bool) -> str:
    if isinstance(item, str):
        return text_fault(item, allow_nul=allow_nul)
    if isinstance(item, float) and not math.isfinite(item):
        what = "NaN is not JSON" if math.isnan(item) else "a number is out of range"
        return f"cannot be sent: {what}. Give a finite number, or null."
    return ""


def _walk(value: Any) -> Iterator[tuple[Path, Any]]:
    """Yield all values within a value, and the names of its properties; level by level."""
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
