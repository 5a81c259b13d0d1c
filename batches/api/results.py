"""/v1/batches/{id}/results: the result of each prompt, readable while the batch runs."""

import json
from typing import Any, get_args

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel
from rest_framework.request import Request

from batches.api.batches import found
from batches.api.fields import BatchId, ModelName, RareText, ResultId, shown
from batches.api.http.pages import NO_SUCH_PLACE, Page, invalid, limit_of
from batches.api.http.view import ApiView, documented
from batches.engine.errors import FailureKind
from batches.engine.records import OutcomeStatus
from batches.engine.text.wording import supported
from batches.formats import microseconds
from batches.lifecycle import TERMINAL
from batches.models import Batch, Prompt
from batches.output.jsonl import DetailedPage, DetailedRow, detailed_page, request_id, result_line

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
STATUSES = get_args(OutcomeStatus)
KINDS = tuple(str(kind) for kind in FailureKind)
MAX_ID_CHARS = 15


class LineResponse(BaseModel):
    """The reply of the provider."""

    status_code: int = shown(200)
    request_id: str = shown("req_1")
    body: dict[str, Any] = shown({"choices": [{"message": {"content": "Hello to you."}}]})


class LineFault(BaseModel):
    """The reason why there is no answer, or no usable one."""

    code: str = shown("timeout")
    message: str = shown("No whole reply within 600 s.")


class ResultUsage(BaseModel):
    """Tokens of a prompt, summed over all its calls."""

    input_tokens: int = shown(7)
    output_tokens: int = shown(26)


class ResultOrigin(BaseModel):
    """The request that the answer was made for."""

    batch_id: BatchId
    custom_id: str = shown("a")


class AskedUsage(BaseModel):
    """Tokens of the calls to one model for a prompt."""

    input_tokens: int = shown(7)
    cached_tokens: int
    output_tokens: int = shown(26)


class AskedModelObject(BaseModel):
    """One of the models that a prompt was asked of. `kind` says how its answer failed, or null."""

    model: ModelName
    kind: RareText
    calls: int = shown(1)
    usage: AskedUsage


class ResultObject(BaseModel):
    """A line of the output or error file, with additional stored fields. `row` has the cells of the
    row that a template made the prompt of. An answer that was used again has `is_reused`, and with
    `reused_from` the request that it was made for, as long as that exists. `escalation` has the
    models that were asked, in order, if there were several; calls and tokens count all of them."""

    id: ResultId
    custom_id: str = shown("a")
    response: LineResponse | None
    error: LineFault | None = shown(None)
    index: int
    status: OutcomeStatus
    kind: RareText
    parsed: Any = shown(None)
    row: dict[str, str | int | float | bool | None] | None = shown(None)
    is_reused: bool
    reused_from: ResultOrigin | None = shown(None)
    rung: RareText
    finish_reason: str | None = shown("stop")
    calls: int = shown(1)
    latency_s: float | None = shown(0.4)
    usage: ResultUsage
    escalation: list[AskedModelObject] | None = shown(None)


class ResultPage(Page):
    """A page of results in the order of the input; `incomplete` as long as the batch runs."""

    data: list[ResultObject]
    incomplete: bool


class ResultsView(ApiView):
    """The results of a batch."""

    @documented(
        operation_id="list_results",
        summary="List the results of a batch",
        responses={200: ResultPage},
        parameters=[
            OpenApiParameter("status", str, enum=STATUSES, description="only these"),
            OpenApiParameter("kind", str, enum=KINDS, description="the kind of failure"),
            OpenApiParameter("after", str, description="the last id of the previous page"),
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}; {DEFAULT_LIMIT}"),
        ],
    )
    def get(self, request: Request, batch_id: str) -> HttpResponse:
        """Return the result of each prompt, in the order of the input. If replies are long, a page
        has fewer results than `limit`; `has_more` is false on the last page."""
        batch = found(request, batch_id)
        limit = limit_of(request, default=DEFAULT_LIMIT, most=MAX_LIMIT)
        page = detailed_page(
            batch,
            after=_index_of(request, batch, request.query_params.get("after")),
            most=limit,
            status=_one_of(request, "status", STATUSES),
            kind=_one_of(request, "kind", KINDS),
        )
        return HttpResponse(_page(batch, page), content_type="application/json")


def _page(batch: Batch, page: DetailedPage) -> str:
    """Return a page as JSON. Stored bodies are JSON already, and are not parsed again."""
    rows = page.rows
    about = {
        "object": "list",
        "has_more": page.has_more and bool(rows),
        "first_id": request_id(rows[0].row.prompt_id) if rows else None,
        "last_id": request_id(rows[-1].row.prompt_id) if rows else None,
        "incomplete": batch.status not in TERMINAL,
    }
    data = ",".join(map(_item, rows))
    return f'{json.dumps(about)[:-1]},"data":[{data}]}}'


def _item(found: DetailedRow) -> str:
    row = found.row
    beside = {
        "index": row.index,
        "status": row.status,
        "kind": row.kind or None,
        "rung": row.rung or None,
        "is_reused": row.source is not None,
        "reused_from": row.origin._asdict() if row.origin else None,
        "finish_reason": found.finish_reason or None,
        "calls": found.calls,
        "latency_s": microseconds(found.latency_s),
        "usage": {"input_tokens": found.input_tokens, "output_tokens": found.output_tokens},
    }
    parsed = "null" if row.parsed is None else row.parsed
    cells = "null" if row.row is None else row.row
    asked = found.escalation or "null"
    about = json.dumps(beside)[1:-1]
    stored = f'"parsed":{parsed},"row":{cells},"escalation":{asked}'
    return f"{result_line(row)[:-1]},{about},{stored}}}"


def _one_of(request: Request, name: str, choices: tuple[str, ...]) -> str | None:
    value = request.query_params.get(name)
    if value is None or value in choices:
        return value
    raise invalid(request, name, supported(choices))


def _index_of(request: Request, batch: Batch, after: str | None) -> int:
    """Return the index of the prompt with this ID; -1 without an ID. Raise ApiError."""
    if not after:
        return -1
    prefix, _, digits = after.rpartition("_")
    if prefix == "batch_req" and 0 < len(digits.lstrip("0")) <= MAX_ID_CHARS:
        try:
            prompts = Prompt.objects.filter(pk=int(digits, 16), batch=batch)
        except ValueError:
            prompts = Prompt.objects.none()
        index = prompts.values_list("index", flat=True).first()
        if index is not None:
            return index
    raise invalid(request, "after", NO_SUCH_PLACE)


urlpatterns = [path("batches/<str:batch_id>/results", ResultsView.as_view(), name="results")]
