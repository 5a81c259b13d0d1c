"""Results are written: JSONL in the format of the OpenAI Batch API, in the order of the input."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from batches.models import Batch, Prompt, Result

PAGE_ROWS = 1000

# What the Batch API calls the ends of a prompt that brought no HTTP answer.
_ROW_CODES = {
    "timeout": "request_timeout",
    "cancelled": "batch_cancelled",
    "expired": "batch_expired",
}


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


def write_results(batch: Batch, output: TextIO, errors: TextIO | None = None) -> int:
    """Write a line for each result, failed ones to `errors` if it is given; return their number."""
    written = 0
    for row in result_rows(batch):
        failed = row.status == Result.FAILED
        (errors if errors is not None and failed else output).write(result_line(row) + "\n")
        written += 1
    return written


def result_rows(batch: Batch) -> Iterator[ResultRow]:
    """The results of a batch in the order of its prompts, a page in memory at a time."""
    after = -1
    while page := _page(batch, after):
        yield from page
        after = page[-1].index


def _page(batch: Batch, after: int) -> list[ResultRow]:
    # From the prompts, whose index keeps the order; a result is found by its primary key.
    rows = (
        Prompt.objects.filter(batch=batch, index__gt=after, result__isnull=False)
        .order_by("index")
        .values_list(
            "pk",
            "index",
            "custom_id",
            "result__status",
            "result__kind",
            "result__code",
            "result__message",
            "result__status_code",
            "result__request_id",
            "result__body",
        )
    )
    return [ResultRow(*row) for row in rows[:PAGE_ROWS]]


def result_line(row: ResultRow) -> str:
    """One line of an output or error file, without its end.

    A reply, or an HTTP error, is a `response`; a prompt that brought none has an `error`; a reply
    whose answer is of no use has both.
    """
    # Stored bodies are one line of JSON already, so they are not parsed again.
    response = "null"
    if row.body is not None:
        response = (
            f'{{"status_code":{row.status_code or 0},"request_id":{_text(row.request_id)},'
            f'"body":{row.body}}}'
        )
    return (
        f'{{"id":"batch_req_{row.prompt_id:016x}","custom_id":{_text(row.custom_id)},'
        f'"response":{response},"error":{_error(row)}}}'
    )


def _error(row: ResultRow) -> str:
    is_http_error = row.body is not None and row.status_code != 200
    if row.status == Result.SUCCEEDED or is_http_error:
        return "null"
    code = _ROW_CODES.get(row.kind, row.kind)
    return f'{{"code":{_text(code)},"message":{_text(row.message)}}}'


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
