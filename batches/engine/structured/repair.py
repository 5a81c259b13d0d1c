"""Repair broken JSON with json-repair, in a bounded number of steps."""

import json
import re
from typing import Any, SupportsIndex

import json_repair

MAX_REPAIRED_CHARS = 64 * 1024
# Broken JSON takes one to three steps per character; hostile input takes the square of its
# length. This many steps take about a tenth of a second.
MAX_STEPS = 200_000
CHARS_PER_STEP = 64

FIRST_STAND_IN = 0xF0000
_STAND_IN = re.compile("[\U000f0000-\U000fffff]")
# A string without an end is matched to the end of the text, to try each quote only once.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}"
    r'|\\["\\/bfnrt]'
)


class TooManySteps(Exception):
    """A text whose repair takes too many steps."""


class _Meter:
    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManySteps


class _Metered(str):  # noqa: SLOT000 - it carries its meter
    """A text that counts the reads of its characters."""

    meter: _Meter

    @classmethod
    def of(cls, text: str, meter: _Meter) -> "_Metered":
        self = cls(text)
        self.meter = meter
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        found = super().__getitem__(key)
        self.meter.spend(1 + len(found) // CHARS_PER_STEP)
        return _Metered.of(found, self.meter) if isinstance(key, slice) else found

    def __add__(self, other: str) -> "_Metered":
        return _Metered.of(str(self) + other, self.meter)

    def __radd__(self, other: str) -> "_Metered":
        return _Metered.of(other + str(self), self.meter)


class _Escapes:
    """Hides the escapes of a text from json-repair, which loses or misreads some of them.

    Each different escape is replaced by a private-use character during the repair.
    """

    def __init__(self) -> None:
        self._stand_ins: dict[str, str] = {}

    def hidden(self, text: str) -> str:
        if _STAND_IN.search(text):
            return text
        return _STRING.sub(lambda string: _ESCAPE.sub(self._stand_in, string[0]), text)

    def shown(self, text: str) -> str:
        escapes = {stand_in: escape for escape, stand_in in self._stand_ins.items()}
        return _STAND_IN.sub(lambda match: escapes.get(match[0], match[0]), text)

    def _stand_in(self, escape: re.Match[str]) -> str:
        number = len(self._stand_ins)
        return self._stand_ins.setdefault(escape[0], chr(FIRST_STAND_IN + number))


def repaired_json(text: str) -> str | None:
    """Return the JSON of the object or array that a broken text means; None if unclear."""
    if len(text) > MAX_REPAIRED_CHARS:
        return None
    escapes = _Escapes()
    try:
        metered = _Metered.of(escapes.hidden(text), _Meter(MAX_STEPS))
        value: Any = json_repair.loads(metered, skip_json_loads=True)
        if not _holds_something(value):
            return None
        return escapes.shown(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except Exception:
        # The heuristics of the library can fail with any error on unusual input.
        return None


def _holds_something(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)
