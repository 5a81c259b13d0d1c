"""Pages and buttons of a batch. Each button calls the same function as the API."""

import json
from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from batches.actions.batches import (
    cancel_batch,
    delete_batch,
    pause_batch,
    rename_batch,
    resume_batch,
    retry_batch,
)
from batches.admin.base import ModelAdmin, admin_url, allowed, note, page_context, small_number
from batches.admin.batches.comparison import comparison_of
from batches.admin.batches.page import batch_page
from batches.admin.templates.shown import changes_of
from batches.comparison.choosing import MOST_BATCHES
from batches.engine.errors import FailureKind
from batches.errors import NotPossible
from batches.limits.rules import Rules
from batches.models import Batch, Result

# The kinds of failure that a button for several kinds stands for.
ONLY = {
    "failed": [kind for kind in FailureKind if kind not in Result.NEVER_RAN],
    "rest": list(Result.NEVER_RAN),
}


def rename(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Give a batch another name."""
    batch = allowed(admin, request, pk, to="act")
    name = request.POST.get("name", "")
    return _done(request, batch, lambda batch: rename_batch(batch, name), "Batch renamed.")


def detail(admin: ModelAdmin[Batch], request: HttpRequest, pk: int) -> HttpResponse:
    """Show the page of a batch."""
    batch = allowed(admin, request, pk, to="view")
    page = batch_page(batch, request)
    defaults = json.dumps(batch.defaults, indent=2, ensure_ascii=False)
    shown = page.template
    context = page_context(
        admin,
        request,
        batch.title,
        page=page,
        batch=batch,
        defaults=defaults,
        changes=changes_of(shown.template) if shown and shown.may_open else None,
    )
    return render(request, "admin/batches/batch.html", context)


def live(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Render the changing part of the page, which reloads it while the batch runs."""
    batch = allowed(admin, request, pk, to="view")
    page = batch_page(batch, request)
    return render(request, "admin/batches/live.html", {"page": page, "batch": batch})


def compare(request: HttpRequest, admin: ModelAdmin[Batch]) -> HttpResponse:
    """Show the timings of several batches side by side."""
    given = map(small_number, request.GET.get("ids", "").split(","))
    pks = list(dict.fromkeys(pk for pk in given if pk is not None))
    batches = [allowed(admin, request, pk, to="view") for pk in pks[:MOST_BATCHES]]
    context = page_context(admin, request, "Compare timings", comparison=comparison_of(batches))
    return render(request, "admin/batches/compare.html", context)


def cancel(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Cancel a batch: send no further calls for it."""
    batch = allowed(admin, request, pk, to="act")
    return _done(request, batch, cancel_batch, "Batch cancelled. No further calls are sent.")


def retry(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Retry prompts of a batch: of some kinds of failure, or a single one, or all."""
    batch = allowed(admin, request, pk, to="act")
    kinds, index = _kinds_of(request), small_number(request.POST.get("index", ""))
    if index is None and "index" in request.POST:
        raise Http404
    service = partial(retry_batch, kinds=kinds, index=index)
    return _done(request, batch, service, f"{_what_of(request)}.")


def _kinds_of(request: HttpRequest) -> list[str]:
    """Return the kinds of failure to retry; an empty list stands for all."""
    only = request.POST.get("only", "")
    kinds = [*(kind for kind in request.POST.getlist("kind") if kind), *ONLY.get(only, ())]
    if not set(kinds) <= set(FailureKind) or (only and only not in ONLY):
        raise Http404
    return kinds


def _what_of(request: HttpRequest) -> str:
    """Return what a retry does, for its message and the history."""
    if "index" in request.POST:
        return "Retry started for one prompt"
    kinds = ", ".join(filter(None, request.POST.getlist("kind")))
    named = {"failed": "failed prompts", "rest": "prompts that never ran"}
    what = named.get(request.POST.get("only", ""), kinds)
    return f"Retry started for {what}" if what else "Retry started"


def pause(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Pause a batch until it is resumed."""
    batch = allowed(admin, request, pk, to="act")
    what = "Batch paused. Calls in flight finish; no further calls are sent."
    return _done(request, batch, pause_batch, what)


def resume(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Resume a paused batch, on request without its rules."""
    # With a rule that is still broken, it would pause again at once.
    rules, what = None, "Batch resumed."
    if "without_rules" in request.POST:
        rules, what = Rules(), "Batch resumed without its rules."
    service = partial(resume_batch, stop_when=rules)
    return _done(request, allowed(admin, request, pk, to="act"), service, what)


def remove(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Delete a batch with its prompts and results."""
    batch = allowed(admin, request, pk, to="remove")
    answer = _done(request, batch, delete_batch, f"{batch.public_id} deleted.")
    gone = not admin.get_queryset(request).filter(pk=pk).exists()
    return HttpResponseRedirect(admin_url("batches_batch_changelist")) if gone else answer


def _done(
    request: HttpRequest, batch: Batch, service: Callable[[Batch], object], what: str
) -> HttpResponse:
    """Call a service, show a message about its result, and redirect to the batch."""
    try:
        service(batch)
    except NotPossible as error:
        messages.error(request, str(error))
    else:
        note(request, batch, what[:200])
        messages.success(request, what)
    return HttpResponseRedirect(_page_of(batch))


def _page_of(batch: Batch) -> str:
    return admin_url("batches_batch_change", batch.pk)
