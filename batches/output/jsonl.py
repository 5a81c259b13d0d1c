"""Write results as JSONL in the format of the OpenAI Batch API, in the order of the input."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, starmap
from json.encoder import encode_basestring as _text
from typing import TextIO

from batches.engine.text.json_text import one_line
from batches.models import Batch, Result
from batches.net.addresses import without_addresses
from batches.output.origins import AnswerOrigin, origins_of
from batches.output.pages import result_page, result_pages_of

# The Batch API's error codes for prompts without an HTTP response.
_ROW_CODES = {
    "timeout": "request_timeout",
    "cancelled": "batch_cancelled",
    "expired": "batch_expired",
}


# The version of the line format: increase it when the same result gets a line of another length.
LINE_FORMAT = 2

# The lines that are made into one text at a time, which costs less than a text for each.
LINES_AT_ONCE = 50

# The columns of a line, in the order of ResultRow.
_LINE_FIELDS = (
    *("status", "kind", "code", "message", "status_code", "request_id", "body"),
    *("parsed", "rung"),
)


# The row of a table that a prompt was made of, and the prompt whose answer was used again; read
# only where there may be some.
_ROW = "prompt__row"
_SOURCE = "source"
# The columns of a result in addition to its line, in the order of DetailedRow.
_DETAILS = ("finish_reason", "calls", "latency_s", "input_tokens", "output_tokens", "escalation")


@dataclass(slots=True)
class ResultRow:
    """A result with the custom_id of its prompt. Not frozen, since making one would take longer."""

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
    # JSON text; only of a prompt that a template made.
    row: str | None = None
    # The prompt whose answer was used again.
    source: int | None = None
    origin: AnswerOrigin | None = None


@dataclass(frozen=True, slots=True)
class DetailedRow:
    """A result with details of its calls; `escalation` has the models that were asked as JSON text,
    if there were several."""

    row: ResultRow
    finish_reason: str
    calls: int
    latency_s: float | None
    input_tokens: int
    output_tokens: int
    escalation: str | None


@dataclass(frozen=True, slots=True)
class DetailedPage:
    """Consecutive results; `has_more` is True if more follow."""

    rows: list[DetailedRow]
    has_more: bool


def write_results(batch: Batch, output: TextIO, errors: TextIO | None = None) -> int:
    """Write a line for each result, failures to `errors` if given; return the number of lines."""
    written = 0
    for rows in _groups(batch):
        if errors is None:
            output.write(file_lines(rows))
        else:
            output.write(file_lines([row for row in rows if row.status != Result.FAILED]))
            errors.write(file_lines([row for row in rows if row.status == Result.FAILED]))
        written += len(rows)
    return written


def json_lines(batch: Batch, *, status: str | None = None) -> Iterator[str]:
    """Yield the lines of all results, or of one status, several lines at a time."""
    return map(file_lines, _groups(batch, status))


def result_rows(batch: Batch) -> Iterator[ResultRow]:
    """Yield the results of a batch in the order of its prompts, with one page in memory."""
    return chain.from_iterable(_groups(batch))


def _line_fields(batch: Batch) -> tuple[str, ...]:
    if batch.reuse != "off":
        return (*_LINE_FIELDS, _ROW, _SOURCE)
    return (*_LINE_FIELDS, _ROW) if batch.template_id else _LINE_FIELDS


def with_origins(rows: list[ResultRow]) -> list[ResultRow]:
    """Set the origins of answers that were used again; of one that is gone, there is none."""
    origins = origins_of(row.source for row in rows)
    for row in rows if origins else ():
        row.origin = origins.get(row.source)
    return rows


def _groups(batch: Batch, status: str | None = None) -> Iterator[list[ResultRow]]:
    for page in result_pages_of(batch, _line_fields(batch), status=status):
        rows = with_origins(list(starmap(ResultRow, page)))
        for first in range(0, len(rows), LINES_AT_ONCE):
            yield rows[first : first + LINES_AT_ONCE]


def detailed_page(
    batch: Batch, *, after: int, most: int, status: str | None = None, kind: str | None = None
) -> DetailedPage:
    """Return up to `most` results after an index, optionally of one status or kind."""
    fields = _line_fields(batch)
    names = (*fields, *_DETAILS)
    page = result_page(batch, names, after=after, most=most, status=status, kind=kind)
    last = 3 + len(fields)
    rows = [DetailedRow(ResultRow(*row[:last]), *row[last:]) for row in page.rows]
    with_origins([detailed.row for detailed in rows])
    return DetailedPage(rows, has_more=page.has_more)


def result_line(row: ResultRow) -> str:
    """Return one line of an output or error file, without its line end.

    It is one line to every reader. A reply or an HTTP error is a `response`; a prompt without one
    has an `error`; a reply with an unusable answer has both.
    """
    return one_line(_line(row))


def prompt_line(custom_id: str, endpoint: str, body: str) -> str:
    """Return a stored prompt as a line of input, without its line end."""
    return one_line(
        f'{{"custom_id":{_text(custom_id)},"method":"POST","url":{_text(endpoint)},"body":{body}}}'
    )


def file_line(row: ResultRow) -> str:
    """Return the line of a result with the parsed answer, if a schema was requested.

    The parsed answer may differ from the reply: prose is removed and syntax is repaired.
    """
    return one_line(_whole_line(row))


def file_lines(rows: Iterable[ResultRow]) -> str:
    """Return the lines of some results, each with its line end."""
    return one_line("".join([f"{_whole_line(row)}\n" for row in rows]))


def bytes_of_lines(rows: Iterable[ResultRow]) -> int:
    """Return the bytes of the lines of some results, with their line ends."""
    return sum([len(file_line(row).encode()) + 1 for row in rows])


def _whole_line(row: ResultRow) -> str:
    line = _line(row)
    if row.rung:
        line = f'{line[:-1]},"parsed":{row.parsed},"rung":{_text(row.rung)}}}'
    if row.row is not None:
        line = f'{line[:-1]},"row":{row.row}}}'
    if row.source is not None:
        line = f'{line[:-1]},"reused_from":{_origin(row.origin)}}}'
    return line


def _origin(origin: AnswerOrigin | None) -> str:
    if origin is None:
        return "null"
    return f'{{"batch_id":{_text(origin.batch_id)},"custom_id":{_text(origin.custom_id)}}}'


def _line(row: ResultRow) -> str:
    # Stored bodies are already JSON without line feeds, so they are not parsed again.
    response = "null"
    if _has_response(row):
        response = (
            f'{{"status_code":{row.status_code},"request_id":{_text(row.request_id)},'
            f'"body":{row.body}}}'
        )
    error = "null" if row.status == Result.SUCCEEDED else _error(row)
    return (
        f'{{"id":"{request_id(row.prompt_id)}","custom_id":{_text(row.custom_id)},'
        f'"response":{response},"error":{error}}}'
    )


def request_id(prompt_id: int) -> str:
    """Return the ID of one request of a batch."""
    return f"batch_req_{prompt_id:016x}"


def _has_response(row: ResultRow) -> bool:
    """Return True if there was an HTTP response, which always has a status."""
    return row.body is not None and bool(row.status_code)


def _error(row: ResultRow) -> str:
    is_http_error = _has_response(row) and not 200 <= (row.status_code or 0) < 300
    if is_http_error:
        return "null"
    code = _ROW_CODES.get(row.kind, row.kind)
    # Without a reply, the message is about the connection and may name the provider's address.
    message = without_addresses(row.message) if row.body is None else row.message
    return f'{{"code":{_text(code)},"message":{_text(message)}}}'
