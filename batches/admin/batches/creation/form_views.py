"""Views of the form for a new batch: show it, preview or start its batch, fill it in."""

from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from batches.actions.batches import cancel_batch
from batches.actions.idempotency import KeyReused
from batches.admin.base import ModelAdmin, admin_url, allowed, note, page_context, small_number
from batches.admin.batches.creation.again import (
    initial_of,
    keep_prompts,
    kept_file,
    pasted_text,
    prepare_reuse,
)
from batches.admin.batches.creation.first_rows import first_rows
from batches.admin.batches.creation.form import BatchForm
from batches.admin.batches.creation.new_batch import (
    Preview,
    Started,
    keep_upload,
    preview,
    start,
)
from batches.admin.batches.creation.template_fields import (
    CHOSEN,
    PARTS,
    kept_template,
    texts_of,
)
from batches.admin.batches.timeline import CREATED
from batches.comparison.choosing import contains_input
from batches.engine.errors import PromptRejected
from batches.errors import NotPossible
from batches.intake.tally import InputRefused
from batches.models import Batch
from batches.reuse.earlier_batch import remember_pilot
from batches.users import User


def new(admin: ModelAdmin[Batch], request: HttpRequest) -> HttpResponse:
    """Show the form for a new batch; preview or start the batch that it describes."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    user = cast(User, request.user)
    form = BatchForm(user, request.POST or None, request.FILES or None)
    if request.method != "POST" and "like" in request.GET:
        form = _form_like(admin, request, user)
    elif request.method != "POST" and "template" in request.GET:
        form = _form_with(user, request.GET["template"])
    shown, instead = None, _waiting_batch(admin, request)
    if request.method == "POST":
        made = _made(form, request, instead) if form.is_valid() else None
        if isinstance(made, Started):
            _replace(request, instead)
            return _started(admin, request, made)
        keep_upload(form, user)
        shown = made
    context = page_context(
        admin,
        request,
        "New batch",
        form=form,
        instead=instead,
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


def rows(request: HttpRequest, admin: ModelAdmin[Batch]) -> HttpResponse:
    """Render the columns and first prompts, after a table or a template was changed."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    form = BatchForm(cast(User, request.user), request.POST, request.FILES)
    form.full_clean()
    found = first_rows(form, is_cut="cut" in request.POST)
    filled = {name: form[name].value() for name in PARTS} if form.is_filled_in else {}
    context = {"rows": found, "filled": filled, "parts": PARTS}
    return render(request, "admin/batches/first_rows.html", context)


def _form_like(admin: ModelAdmin[Batch], request: HttpRequest, user: User) -> BatchForm:
    """Return the form filled in from the batch `like`, with the prompts of the file `stored`."""
    pk = small_number(request.GET["like"])
    if pk is None:
        raise Http404
    batch = allowed(admin, request, pk, to="results")
    source = _source(admin, request, batch, request.GET.get("rows", ""))
    initial = initial_of(batch, source)
    if "instead" in request.GET or request.GET.get("reuse") == "owner":
        initial["reuse"] = "owner"
    kept = kept_file(user, request.GET.get("stored", ""))
    pasted = pasted_text(kept) if kept else ""
    form = BatchForm(user, initial={**initial, "prompts": pasted})
    form.kept = None if pasted else kept
    return form


def _form_with(user: User, pk: str) -> BatchForm:
    """Return the form filled in from a kept template. Raise Http404 if the user has none such."""
    template = kept_template(user, pk)
    if template is None:
        raise Http404
    return BatchForm(user, initial={CHOSEN: template.pk, **texts_of(template)})


def again(request: HttpRequest, admin: ModelAdmin[Batch], pk: int) -> HttpResponse:
    """Show the form for a new batch with the options of this one and the prompts of it or of
    another, on request with the answers of this one used again."""
    batch = allowed(admin, request, pk, to="results")
    if not admin.has_add_permission(request):
        raise PermissionDenied
    source = _source(admin, request, batch, request.POST.get("rows", ""))
    user = cast(User, request.user)
    query: dict[str, Any] = {"like": batch.pk}
    try:
        kept = keep_prompts(source, user)
    except NotPossible as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(_page_of(batch))
    query["stored"] = kept.public_id
    if source != batch:
        query["rows"] = source.pk
    if "reuse" in request.POST:
        query["reuse"] = "owner"
        messages.info(request, prepare_reuse(batch, user))
    if "instead" in request.POST:
        query["instead"] = batch.pk
    address = admin_url("batches_batch_add")
    return HttpResponseRedirect(f"{address}?{urlencode(query)}")


def _waiting_batch(admin: ModelAdmin[Batch], request: HttpRequest) -> Batch | None:
    """Return the batch that the new one is to replace, if it still waits after its pilot."""
    pk = small_number(request.POST.get("instead") or request.GET.get("instead", ""))
    if pk is None:
        return None
    batch = allowed(admin, request, pk, to="act")
    return batch if Batch.objects.at_gate().filter(pk=pk).exists() else None


def _replace(request: HttpRequest, waiting: Batch | None) -> None:
    """Cancel a batch that waited after its pilot, now that another one runs its prompts."""
    if waiting is None:
        return
    try:
        cancel_batch(waiting)
    except NotPossible as error:
        messages.warning(request, f"{waiting}: {error}")
    else:
        note(request, waiting, "Batch cancelled, since another one runs its prompts.")


def _source(admin: ModelAdmin[Batch], request: HttpRequest, batch: Batch, pk: str) -> Batch:
    """Return the batch whose prompts are run again with the options of `batch`: that itself, or
    another one that has the same prompts and more."""
    number = small_number(pk)
    if number is None or number == batch.pk:
        return batch
    source = allowed(admin, request, number, to="results")
    if source.owner_id != batch.owner_id or not contains_input(source, batch):
        raise Http404
    return source


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
    return HttpResponseRedirect(admin_url("batches_batch_add"))


def _made(form: BatchForm, request: HttpRequest, instead: Batch | None) -> Started | Preview | None:
    """Return the started batch or its preview; None if the form now shows errors."""
    try:
        if "_start" in request.POST:
            if instead and form.cleaned_data["reuse"] == "owner":
                # Before the new batch is there, since it may run at once.
                remember_pilot(instead)
            return start(form, cast(User, request.user))
        return preview(form)
    except InputRefused as error:
        form.refuse_lines(error.errors)
    except PromptRejected as error:
        form.refuse(error)
    except KeyReused:
        form.refuse_repetition()
    return None


def _page_of(batch: Batch) -> str:
    return admin_url("batches_batch_change", batch.pk)
