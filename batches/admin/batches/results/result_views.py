"""Views of the results of a batch: the table, a single result, and downloads."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render

from batches.admin.base import ModelAdmin, admin_url, allowed, page_context, small_number
from batches.admin.batches.downloads import download, jsonl_of, parquet_of
from batches.admin.batches.results.conversation import Part, ShownTurn, answered, asked, parameters
from batches.admin.batches.results.result_rows import (
    Filter,
    ShownRow,
    count_of,
    found_rows,
    indexes_after,
    indexes_before,
    rows_of,
)
from batches.admin.batches.results.searching import text_of
from batches.admin.json_lines import Line, faults_of, marked_lines
from batches.engine.endpoints import rules_of
from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.prepare import whole_body
from batches.engine.replies.replies import answer_in
from batches.engine.structured.asked import answer_schema
from batches.extras import ExtraMissing
from batches.formats import count
from batches.lifecycle import RETRYABLE
from batches.limits.asked_models import asked_in
from batches.models import Batch, Prompt, Result
from batches.output.csv import csv_lines

PAGE = 50
# Before the first index.
FROM_THE_START = -1
LONGEST_SHOWN = 200_000
MOST_FIELDS = 100
LONGEST_SEARCHED = 500


def results(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Show a page of the table of results."""
    batch = _readable(request, admin, pk)
    wanted, after = _filter_of(request), _after_of(request)
    found = _found(batch, wanted, after)
    context = page_context(
        admin,
        request,
        f"Results of {batch.title}",
        batch=batch,
        rows=found.rows,
        found=found,
        wanted=wanted,
        fields=_fields_of(batch),
        faults=_faults_of(request, wanted),
        kinds=list(FailureKind),
        after=after,
        query=_query(wanted, after),
        next_page="" if found.next_after is None else _query(wanted, found.next_after),
        previous_page=_query(wanted, _page_before(batch, wanted, after)),
        first_page=_query(wanted, FROM_THE_START),
    )
    return render(request, "admin/batches/results.html", context)


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of results, and in words how many there are or how far the search has looked."""

    rows: list[ShownRow]
    words: str
    next_after: int | None


def _found(batch: Batch, wanted: Filter, after: int) -> FoundPage:
    if wanted.searched:
        rows, searched = found_rows(batch, wanted, after=after, limit=PAGE)
        words = f"{count(len(rows))} found among {count(searched.looked_at)} results searched"
        if searched.through is not None:
            words += f", up to number {count(searched.through + 1)} of {count(batch.total)}"
        return FoundPage(rows, f"{words}.", searched.through)
    rows = rows_of(batch, wanted, after=after, limit=PAGE + 1)
    number, is_more = count_of(batch, wanted)
    words = f"{'More than ' if is_more else ''}{count(number)} result{'' if number == 1 else 's'}."
    return FoundPage(rows[:PAGE], words, rows[PAGE - 1].index if len(rows) > PAGE else None)


def _fields_of(batch: Batch) -> list[str]:
    """Return the names of the fields of the answers, if the batch has a schema of an object."""
    try:
        asked_for = answer_schema(batch.defaults, batch.endpoint)
    except PromptRejected:
        return []
    schema = asked_for.schema if asked_for else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return list(properties)[:MOST_FIELDS] if isinstance(properties, dict) else []


def _page_before(batch: Batch, wanted: Filter, after: int) -> int:
    """Return the `after` index of the previous page."""
    if after <= FROM_THE_START:
        return FROM_THE_START
    # The row at `after` is the last row of the previous page, if it matches the filter.
    before = indexes_before(batch, wanted, after + 1, limit=PAGE + 1)
    return before[PAGE] if len(before) > PAGE else FROM_THE_START


def jsonl(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponseBase:
    """Download all results in the format of the Batch API."""
    batch = _readable(request, admin, pk)
    return download(request, jsonl_of(batch), name=f"{batch.public_id}.jsonl")


def csv(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponseBase:
    """Download all results as CSV."""
    batch = _readable(request, admin, pk)
    return download(request, csv_lines(batch), name=f"{batch.public_id}.csv")


def parquet(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponseBase:
    """Download all results as Parquet."""
    batch = _readable(request, admin, pk)
    try:
        pieces = parquet_of(batch)
    except ExtraMissing as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(admin_url("batches_batch_change", batch.pk))
    return download(request, pieces, name=f"{batch.public_id}.parquet")


@dataclass(frozen=True, slots=True)
class ResultReading:
    """A prompt and its result, prepared for display."""

    asked: list[ShownTurn]
    parameters: str
    answered: list[ShownTurn]
    parsed: list[Line]
    faults: int
    cut: bool
    # The answers before the last one, each with the errors that the model was asked again with.
    rejected: list[tuple[str, str]]

    @property
    def asked_text(self) -> str:
        """Return the request as text, to be copied."""
        return text_of(self.asked)

    @property
    def answered_text(self) -> str:
        """Return the answer as text, to be copied: the JSON that fits the schema, or the reply."""
        if self.parsed:
            return "\n".join(line.text for line in self.parsed)
        return text_of(self.answered)


def result(request: HttpRequest, admin: ModelAdmin[Batch], pk: int, index: int) -> HttpResponse:
    """Show a prompt and its result side by side."""
    batch = _readable(request, admin, pk)
    prompt = Prompt.objects.filter(batch=batch, index=index).first()
    if prompt is None:
        raise Http404
    found = Result.objects.filter(pk=prompt.pk).first()
    wanted = _filter_of(request)
    previous, following = _neighbours(batch, wanted, index)
    context = page_context(
        admin,
        request,
        prompt.custom_id,
        batch=batch,
        prompt=prompt,
        result=found,
        asked=asked_in(found.escalation) if found else [],
        origin=_origin_of(found),
        reading=reading_of(batch, prompt, found),
        previous=previous,
        next=following,
        query=_query(wanted, _after_of(request)),
        filtered=wanted != Filter(),
        may_retry=_may_retry(request, batch, found),
    )
    return render(request, "admin/batches/result.html", context)


def _origin_of(found: Result | None) -> Prompt | None:
    """Return the prompt that an answer was made for, if it was used again and that one exists."""
    if found is None or found.source is None:
        return None
    made_for = Prompt.objects.select_related("batch")
    return made_for.filter(pk=found.source, batch__deleted_at=None).first()


def _may_retry(request: HttpRequest, batch: Batch, found: Result | None) -> bool:
    failed = found is not None and found.status == Result.FAILED
    return failed and batch.status in RETRYABLE and request.user.has_perm("batches.change_batch")


def _neighbours(batch: Batch, wanted: Filter, index: int) -> tuple[int | None, int | None]:
    """Return the indexes of the previous and the next prompt that match the filter."""
    if wanted == Filter():
        return index - 1 if index else None, index + 1 if index + 1 < batch.total else None
    before = indexes_before(batch, wanted, index, limit=1)
    behind = indexes_after(batch, wanted, index, limit=1)
    return next(iter(before), None), next(iter(behind), None)


def reading_of(batch: Batch, prompt: Prompt, found: Result | None) -> ResultReading:
    """Prepare a prompt and its result for display; a very long reply is cut."""
    body = whole_body(batch.defaults, json.loads(prompt.body))
    said = (found.body or "") if found else ""
    turns = _said(said, batch.endpoint)
    cut = bool(said) and not turns
    parsed = _parsed_lines(batch, body, found) if found and not cut else []
    return ResultReading(
        asked=asked(body, batch.endpoint),
        parameters=parameters(body, batch.endpoint),
        answered=turns or ([_cut_turn(said)] if cut else []),
        parsed=parsed,
        faults=sum(len(line.faults) for line in parsed),
        cut=cut,
        rejected=json.loads(found.rejected) if found and found.rejected else [],
    )


def _said(body: str, endpoint: str) -> list[ShownTurn]:
    """Return the messages of a reply; none if it is too long to parse."""
    is_long = len(body) > LONGEST_SHOWN
    if not body or (is_long and rules_of(endpoint).reply != "images"):
        return []
    turns = answered(body, endpoint)
    # Only the size of images is shown, so images may be long; other turns may not.
    return [turn for turn in turns if turn.role == "image"] if is_long else turns


def _cut_turn(text: str) -> ShownTurn:
    return ShownTurn("reply", [Part(text[:LONGEST_SHOWN], is_json=True)])


def _parsed_lines(batch: Batch, body: dict[str, Any], found: Result) -> list[Line]:
    """Return the answer as JSON with its validation errors, if the request has a schema."""
    try:
        schema = answer_schema(body, batch.endpoint)
        if schema is None:
            return []
        text = found.parsed if found.parsed is not None else answer_in(batch.endpoint, found.body)
        value = json.loads(text)
        return marked_lines(value, faults_of(value, schema.model()))
    except (PromptRejected, ValueError, RecursionError):
        # Not JSON: the conversation shows the text unchanged.
        return []


def _readable(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> Batch:
    return allowed(admin, request, pk, to="results")


# Valid values of these filters; `custom_id` takes any value.
CHOICES = {"status": (Result.SUCCEEDED, Result.FAILED), "kind": tuple(FailureKind)}
NO_KIND = "Successful results have no kind of failure. Clear one of the two filters."

NO_FIELD = "Name the field that has this value."


def _filter_of(request: HttpRequest) -> Filter:
    """Return the filter in the URL without invalid values."""
    given = {
        name: request.GET.get(name, "").replace("\0", "")[:LONGEST_SEARCHED]
        for name in Filter.__slots__
    }
    return Filter(**{**given, **dict.fromkeys(_not_chosen(request), "")})


def _not_chosen(request: HttpRequest) -> list[str]:
    """Return the names of filters whose value is not one of their choices."""
    return [name for name in CHOICES if request.GET.get(name, "") not in ("", *CHOICES[name])]


def _faults_of(request: HttpRequest, wanted: Filter) -> dict[str, str]:
    """Return the error of each invalid filter."""
    faults = {
        name: f"Unknown value {request.GET[name][:50]!r}; choose one of the list."
        for name in _not_chosen(request)
    }
    if wanted.kind and wanted.status == Result.SUCCEEDED:
        faults["kind"] = NO_KIND
    if wanted.value and not wanted.field:
        faults["field"] = NO_FIELD
    return faults


def _after_of(request: HttpRequest) -> int:
    after = small_number(request.GET.get("after", ""))
    return FROM_THE_START if after is None else after


def _query(wanted: Filter, after: int) -> str:
    values = {name: getattr(wanted, name) for name in Filter.__slots__}
    given = {name: value for name, value in values.items() if value}
    return urlencode({**given, **({"after": after} if after > FROM_THE_START else {})})
