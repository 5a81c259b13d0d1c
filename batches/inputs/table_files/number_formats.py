"""Tell the dates and times of a workbook from its numbers, and write them in ISO 8601."""

import re
from datetime import datetime, timedelta
from typing import Literal

# How a number is shown; "" is a plain number.
NumberKind = Literal["", "date", "datetime", "time", "elapsed"]

_BUILT_IN: dict[int, NumberKind] = {
    **dict.fromkeys((14, 15, 16, 17, 27, 28, 29, 30, 31, 36), "date"),
    **dict.fromkeys((50, 51, 52, 53, 54, 57, 58), "date"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47, 55, 56), "time"),
    22: "datetime",
    46: "elapsed",
}
# What a format shows as it stands, and conditions, colours and languages in brackets.
_LITERAL = re.compile(
    r'"[^"]*"?|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE | re.DOTALL
)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
MAX_FORMAT_CHARS = 1000

DAY_MS = 24 * 3600 * 1000
# The day after the last one that a spreadsheet shows, in 9999.
_END = 2_958_466
_BASE, _BASE_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
# The spreadsheet counts a 29 February 1900 that never was.
_LEAP_DAY = 60


def built_in_kind(number: int) -> NumberKind:
    """Return the kind of a number in a format that every workbook has."""
    return _BUILT_IN.get(number, "")


def kind_of_format(code: str) -> NumberKind:
    """Return the kind of a number in a format of the workbook, such as `yyyy-mm-dd hh:mm`."""
    shown = _LITERAL.sub("", code[:MAX_FORMAT_CHARS]).partition(";")[0].lower()
    if _ELAPSED.search(shown):
        return "elapsed"
    if "general" in shown:
        return ""
    has_time = "h" in shown or "s" in shown
    has_date = "y" in shown or "d" in shown or ("m" in shown and not has_time)
    if has_time and has_date:
        return "datetime"
    return "date" if has_date else "time" if has_time else ""


def date_text(number: float, kind: NumberKind, *, is_1904: bool) -> str | None:
    """Return the date, time or duration of a number in ISO 8601; None if it has none.

    A duration is hours, minutes and seconds, such as 27:30:00.
    """
    if not 0 <= number < _END:
        return None
    milliseconds = round(number * DAY_MS)
    if kind == "elapsed":
        minutes, seconds = divmod(milliseconds // 1000, 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    base = _BASE_1904 if is_1904 else _BASE
    if not is_1904 and number < _LEAP_DAY:
        base += timedelta(days=1)
    try:
        moment = base + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    if kind == "time" and number < 1:
        return moment.time().isoformat(precision)
    if kind == "date" and milliseconds % DAY_MS == 0:
        return moment.date().isoformat()
    return moment.isoformat(timespec=precision)
