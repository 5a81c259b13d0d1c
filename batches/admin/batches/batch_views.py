"""Pages and buttons of a batch. Each button calls the same function as the API."""

import json
from collections.abc import Callable
from functools import partial
from typing import cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from batches.actions.batches import (
    cancel_batch,
    delete_batch,
    pause_batch,
    rename_batch,
    resume_batch,
    retry_batch,
)
from batches.actions.idempotency import KeyReused
from batches.admin.base import ModelAdmin, allowed, note, page_context, small_number
from batches.admin.batches.again import initial_of, keep_prompts, kept_file, pasted_text
from batches.admin.batches.bulk import MOST_COMPARED
from batches.admin.batches.comparison import comparison_of
from batches.admin.batches.form import BatchForm
from batches.admin.batches.new_batch import Preview, Started, keep_upload, preview, start
from batches.admin.batches.page import batch_page
from batches.admin.batches.timeline import CREATED
from batches.engine.errors import FailureKind, PromptRejected
from batches.errors import NotPossible
from batches.intake.tally import InputRefused
from batches.limits.rules import Rules
from batches.models import Batch, Result

# The kinds of failure that a button for several kinds stands for.
ONLY = {
    "failed": [kind for kind in FailureKind if kind not in Result.NEVER_RAN],
    "rest": list(Result.NEVER_RAN),
}


def new(admin: ModelAdmin[Batch], request: HttpRequest) -> HttpResponse:
    """Show the form for a new batch; preview or start the batch that it describes."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    user = cast(User, request.user)
    form = BatchForm(user, request.POST or None, request.FILES or None)
    if request.method != "POST" and "like" in request.GET:
        form = _form_like(admin, request, user)
    shown = None
    if request.method == "POST":
        made = _made(form, request) if form.is_valid() else None
        if isinstance(made, Started):
            return _started(admin, request, made)
        keep_upload(form, user)
        shown = made
    context = page_context(
        admin,
        request,
        "New batch",
        form=form,
        preview=shown,
        may_add_provider=request.user.has_perm("batches.add_provider"),
    )
    return render(request, "admin/batches/new_batch.html", context)


def columns(request: HttpRequest, admin: ModelAdmin[Batch]) -> HttpResponse:
    """Render the field for the column, after the beginning of a table was chosen or pasted."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    form = BatchForm(cast(User, request.user), request.POST, request.FILES)
    form.full_clean()
    form.offer_columns()
    return HttpResponse(str(form["column"]))


def _form_like(admin: ModelAdmin[Batch], request: HttpRequest, user: User) -> BatchForm:
    """Return the form filled in from the batch `like`, with the prompts of the file `stored`."""
    pk = small_number(request.GET["like"])
    if pk is None:
        raise Http404
    initial = initial_of(allowed(admin, request, pk, to="results"))
    kept = kept_file(user, request.GET.get("stored", ""))
    pasted = pasted_text(kept) if kept else ""
    form = BatchForm(user, initial={**initial, "prompts": pasted})
    form.kept = None if pasted else kept
    return form


def again(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Show the form for a new batch with the prompts and the options of this one."""
    batch = allowed(admin, request, pk, to="results")
    if not admin.has_add_permission(request):
        raise PermissionDenied
    try:
        kept = keep_prompts(batch, cast(User, request.user))
    except NotPossible as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(_page_of(batch))
    query = urlencode({"like": batch.pk, "stored": kept.public_id})
    return HttpResponseRedirect(f"{reverse('admin:batches_batch_add')}?{query}")


def rename(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Give a batch another name."""
    batch = allowed(admin, request, pk, to="act")
    name = request.POST.get("name", "")
    return _done(request, batch, lambda batch: rename_batch(batch, name), "Batch renamed.")


def _started(admin: ModelAdmin[Batch], request: HttpRequest, made: Started) -> HttpResponse:
    """Redirect to the batch, or to the form if the user may create batches but not view them."""
    batch = made.batch
    if made.before:
        messages.info(request, f"This form already started {batch}. It was not started again.")
    else:
        note(request, batch, CREATED)
        messages.success(request, f"Batch started: {batch}.")
    if admin.has_view_permission(request, batch):
        return HttpResponseRedirect(_page_of(batch))
    return HttpResponseRedirect(reverse("admin:batches_batch_add"))


def _made(form: BatchForm, request: HttpRequest) -> Started | Preview | None:
    """Return the started batch or its preview; None if the form now shows errors."""
    try:
        if "_start" in request.POST:
            return start(form, cast(User, request.user))
        return preview(form)
    except InputRefused as error:
        form.refuse_lines(error.errors)
    except PromptRejected as error:
        form.refuse(error)
    except KeyReused:
        form.refuse_repetition()
    return None


def detail(admin: ModelAdmin[Batch], request: HttpRequest, pk: int) -> HttpResponse:
    """Show the page of a batch."""
    batch = allowed(admin, request, pk, to="view")
    page = batch_page(batch, request)
    defaults = json.dumps(batch.defaults, indent=2, ensure_ascii=False)
    context = page_context(admin, request, batch.title, page=page, batch=batch, defaults=defaults)
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
    batches = [allowed(admin, request, pk, to="view") for pk in pks[:MOST_COMPARED]]
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
    return HttpResponseRedirect(reverse("admin:batches_batch_changelist")) if gone else answer


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
    return reverse("admin:batches_batch_change", args=[batch.pk])
