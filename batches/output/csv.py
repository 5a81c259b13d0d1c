"""Write results as CSV for spreadsheets, in the order of the input."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from batches.engine.replies.replies import shown_in
from batches.formats import microseconds
from batches.models import Batch, Result
from batches.output.pages import result_rows_of

_STORED = (
    *("status", "kind", "code", "message", "status_code", "finish_reason"),
    *("input_tokens", "output_tokens", "calls", "latency_s", "elapsed_s"),
)
HEADER = ("index", "custom_id", "answer", *_STORED)
_FIELDS = (*_STORED, "body", "parsed")

# A spreadsheet runs a text that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\x00", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_lines(batch: Batch, *, failed: bool | None = None) -> Iterator[bytes]:
    """Yield a header and a line for each result, with one page in memory at a time.

    With `failed`, only the failed prompts have a line, or only the others.
    """
    # The mark by which Excel recognises UTF-8.
    yield b"\xef\xbb\xbf" + _line(HEADER)
    for _, index, custom_id, *stored, body, parsed in result_rows_of(batch, _FIELDS):
        if failed is not None and failed != (stored[0] == Result.FAILED):
            continue
        answer = parsed
        if parsed is None:
            succeeded = stored[0] == Result.SUCCEEDED
            answer = shown_in(batch.endpoint, body, succeeded=succeeded)
        yield _line((index, custom_id, answer, *stored))


def _line(values: tuple[Any, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(map(_safe, values))
    return text.getvalue().encode(errors="replace")


def _safe(value: Any) -> Any:
    if isinstance(value, float):
        return microseconds(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
