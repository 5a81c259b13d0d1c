"""Actions on several batches of the list: cancel, pause, resume, retry, export and compare them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import admin as django_admin
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render

from batches.actions.batches import cancel_batch, pause_batch, resume_batch, retry_batch
from batches.admin.base import ModelAdmin, admin_url, note, page_context
from batches.admin.batches.costs import likely_cost
from batches.admin.batches.downloads import LinesOf, download, jsonl_of, parquet_of, zip_of
from batches.comparison.choosing import FEWEST_BATCHES, MOST_BATCHES
from batches.errors import NotPossible
from batches.extras import ExtraMissing, require
from batches.formats import count
from batches.lifecycle import CANCELLABLE, RETRYABLE
from batches.models import Batch
from batches.output.csv import csv_lines

# As many as a page of the list has; the browser waits until all are done.
MOST_CHOSEN = 50
# Very large batches take seconds each; a browser does not wait for many of them.
LONGEST_WAIT_S = 20.0
# More refusals than this say nothing new.
SHOWN_REFUSALS = 5

Chosen = QuerySet[Batch]
Answer = HttpResponseBase | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question before an action that cannot be undone, with a line for each batch."""

    action: str
    title: str
    warning: str
    button: str
    # What is said when it is done.
    done: str
    # What happens to a batch.
    about: Callable[[Batch], str]


def _chosen(request: HttpRequest, queryset: Chosen) -> list[Batch]:
    """Return the chosen batches in the order of their creation; none if they are too many."""
    batches = list(queryset.order_by("pk")[: MOST_CHOSEN + 1])
    if len(batches) > MOST_CHOSEN:
        messages.error(request, f"Choose up to {MOST_CHOSEN} batches.")
        return []
    return batches


def _apply(
    request: HttpRequest, batches: list[Batch], service: Callable[[Batch], object], what: str
) -> None:
    """Call a service for each batch, and say how many it accepted and why it refused others."""
    refused, done = [], 0
    deadline = time.monotonic() + LONGEST_WAIT_S
    for batch in batches:
        if time.monotonic() > deadline:
            refused.append(f"{batch.title}: there was no time left. Choose it again.")
            continue
        try:
            service(batch)
        except NotPossible as error:
            refused.append(f"{batch.title}: {error}")
        else:
            done += 1
            note(request, batch, f"{what}.")
    if done:
        messages.success(request, f"{what}: {done} batch{'es' if done > 1 else ''}.")
    for text in refused[:SHOWN_REFUSALS]:
        messages.error(request, text)
    if len(refused) > SHOWN_REFUSALS:
        messages.error(request, f"{len(refused) - SHOWN_REFUSALS} more were refused.")


def _apply_after(
    question: Question,
    admin: ModelAdmin[Batch],
    request: HttpRequest,
    queryset: Chosen,
    service: Callable[[Batch], object],
) -> Answer:
    """Show the question, or call the service for each batch if it was confirmed."""
    batches = _chosen(request, queryset)
    if "confirmed" in request.POST or not batches:
        _apply(request, batches, service, question.done)
        return None
    lines = [(one, question.about(one)) for one in batches]
    asked = {"question": question, "lines": lines, "checkbox": ACTION_CHECKBOX_NAME}
    context = page_context(admin, request, question.title, **asked)
    return render(request, "admin/batches/question.html", context)


@django_admin.action(description="Pause", permissions=["act"])
def pause(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> None:
    """Pause the chosen batches until they are resumed."""
    _apply(request, _chosen(request, queryset), pause_batch, "Paused")


@django_admin.action(description="Resume", permissions=["act"])
def resume(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> None:
    """Resume the chosen batches."""
    _apply(request, _chosen(request, queryset), resume_batch, "Resumed")


@django_admin.action(description="Cancel…", permissions=["act"])
def cancel(admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Cancel the chosen batches, after a question."""
    warning = "No further calls are sent; results so far are kept."
    question = Question("cancel", "Cancel", warning, "Cancel batches", "Cancelled", _what_cancels)
    return _apply_after(question, admin, request, queryset, cancel_batch)


@django_admin.action(description="Retry failed…", permissions=["act"])
def retry(admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Run the failed prompts of the chosen batches again, after a question."""
    warning = "You will be charged again for these prompts."
    question = Question("retry", "Retry", warning, "Retry failed", "Retry started", _what_retries)
    return _apply_after(question, admin, request, queryset, retry_batch)


def _what_cancels(batch: Batch) -> str:
    if batch.status not in CANCELLABLE:
        return f"is {batch.status}: stays as it is"
    left = batch.total - batch.succeeded - batch.failed
    return f"{_prompts(left)} not sent"


def _prompts(number: int) -> str:
    return f"{count(number)} prompt{'' if number == 1 else 's'}"


def _what_retries(batch: Batch) -> str:
    left = batch.total - batch.succeeded
    if batch.status not in RETRYABLE or not left:
        return "has nothing to retry: stays as it is"
    return f"{_prompts(left)}, {likely_cost(batch, left) or 'cost unknown'}"


@django_admin.action(description="Export as JSONL", permissions=["results"])
def export_jsonl(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Download the results of the chosen batches, a JSONL file for each."""
    return _exported(request, queryset, jsonl_of, "jsonl")


@django_admin.action(description="Export as CSV", permissions=["results"])
def export_csv(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Download the results of the chosen batches, a CSV file for each."""
    return _exported(request, queryset, csv_lines, "csv")


@django_admin.action(description="Export as Parquet", permissions=["results"])
def export_parquet(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Download the results of the chosen batches, a Parquet file for each."""
    try:
        # Before the answer begins.
        require("tables", "Parquet")
    except ExtraMissing as error:
        messages.error(request, str(error))
        return None
    return _exported(request, queryset, parquet_of, "parquet")


def _exported(request: HttpRequest, queryset: Chosen, lines_of: LinesOf, ending: str) -> Answer:
    batches = _chosen(request, queryset)
    if not batches:
        return None
    return download(request, zip_of(batches, lines_of, ending), name=f"results-{ending}.zip")


@django_admin.action(description="Compare timings", permissions=["view"])
def compare(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Redirect to the page that compares the timings of the chosen batches."""
    return _compared(request, queryset, "compare")


@django_admin.action(description="Compare answers", permissions=["results"])
def compare_answers(_admin: ModelAdmin[Batch], request: HttpRequest, queryset: Chosen) -> Answer:
    """Redirect to the page that compares the answers of the chosen batches."""
    return _compared(request, queryset, "answers")


def _compared(request: HttpRequest, queryset: Chosen, page: str) -> Answer:
    chosen = [str(pk) for pk in queryset.order_by("pk").values_list("pk", flat=True)]
    if not FEWEST_BATCHES <= len(chosen) <= MOST_BATCHES:
        messages.error(request, f"Choose {FEWEST_BATCHES} to {MOST_BATCHES} batches.")
        return None
    address = admin_url(f"batches_batch_{page}")
    return HttpResponseRedirect(f"{address}?ids={','.join(chosen)}")


EXPORTS = (export_jsonl, export_csv, export_parquet)
ACTIONS = (cancel, retry, pause, resume, *EXPORTS, compare, compare_answers)
