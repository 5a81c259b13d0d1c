"""Results are written: JSONL in the format of the OpenAI Batch API, in the order of the input."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from batches.engine.text.json_text import one_line
from batches.models import Batch, Result
from batches.net.addresses import without_addresses
from batches.output.pages import result_page, result_rows_of

# What the Batch API calls the ends of a prompt that brought no HTTP answer.
_ROW_CODES = {
    "timeout": "request_timeout",
    "cancelled": "batch_cancelled",
    "expired": "batch_expired",
}


# How lines are written: another number for whatever makes the same result a line of another length.
LINE_FORMAT = 2

# What a line shows, in the order of ResultRow.
_LINE_FIELDS = (
    *("status", "kind", "code", "message", "status_code", "request_id", "body"),
    *("parsed", "rung"),
)


# What is told of a result beside its line, in the order of DetailedRow.
_DETAILS = ("finish_reason", "calls", "latency_s", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result with the custom_id of its prompt."""

    prompt_id: int
    index: int
    custom_id: str
    status: str
    kind: str
    code: str
    message: str
    status_code: int | None
    request_id: str
    body: str | None
    parsed: str | None = None
    rung: str = ""


@dataclass(frozen=True, slots=True)
class DetailedRow:
    """A result with how it came about."""

    row: ResultRow
    finish_reason: str
    calls: int
    latency_s: float | None
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class DetailedPage:
    """Results in a row, and whether there are more behind them."""

    rows: list[DetailedRow]
    has_more: bool


def write_results(batch: Batch, output: TextIO, errors: TextIO | None = None) -> int:
    """Write a line for each result, failed ones to `errors` if it is given; return their number."""
    written = 0
    for row in result_rows(batch):
        failed = row.status == Result.FAILED
        (errors if errors is not None and failed else output).write(file_line(row) + "\n")
        written += 1
    return written


def result_rows(batch: Batch, *, status: str | None = None) -> Iterator[ResultRow]:
    """The results of a batch in the order of its prompts, a page in memory at a time."""
    for row in result_rows_of(batch, _LINE_FIELDS, status=status):
        yield ResultRow(*row)


def detailed_page(
    batch: Batch, *, after: int, most: int, status: str | None = None, kind: str | None = None
) -> DetailedPage:
    """At most so many results behind an index, of one status or kind if that is given."""
    names = (*_LINE_FIELDS, *_DETAILS)
    page = result_page(batch, names, after=after, most=most, status=status, kind=kind)
    last = 3 + len(_LINE_FIELDS)
    rows = [DetailedRow(ResultRow(*row[:last]), *row[last:]) for row in page.rows]
    return DetailedPage(rows, has_more=page.has_more)


def result_line(row: ResultRow) -> str:
    """Return one line of an output or error file, without its end, to every reader of lines.

    A reply, or an HTTP error, is a `response`; a prompt that brought none has an `error`; a reply
    whose answer is of no use has both.
    """
    return one_line(_line(row))


def file_line(row: ResultRow) -> str:
    """Return the same with the answer that was found to fit its schema, where one was asked for.

    It need not be what the reply says: prose around it is gone, its syntax is mended.
    """
    line = _line(row)
    if row.rung:
        line = f'{line[:-1]},"parsed":{row.parsed},"rung":{_text(row.rung)}}}'
    return one_line(line)


def _line(row: ResultRow) -> str:
    # Stored bodies are JSON without line feeds already, so they are not parsed again.
    response = "null"
    if _has_response(row):
        response = (
            f'{{"status_code":{row.status_code},"request_id":{_text(row.request_id)},'
            f'"body":{row.body}}}'
        )
    return (
        f'{{"id":"{request_id(row.prompt_id)}","custom_id":{_text(row.custom_id)},'
        f'"response":{response},"error":{_error(row)}}}'
    )


def request_id(prompt_id: int) -> str:
    """The id of one request of a batch."""
    return f"batch_req_{prompt_id:016x}"


def _has_response(row: ResultRow) -> bool:
    """Return True if there was an HTTP response: what has no status is none."""
    return row.body is not None and bool(row.status_code)


def _error(row: ResultRow) -> str:
    is_http_error = _has_response(row) and not 200 <= (row.status_code or 0) < 300
    if row.status == Result.SUCCEEDED or is_http_error:
        return "null"
    code = _ROW_CODES.get(row.kind, row.kind)
    # Without a reply the message is about the connection, and may name the provider's address.
    message = without_addresses(row.message) if row.body is None else row.message
    return f'{{"code":{_text(code)},"message":{_text(message)}}}'


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
