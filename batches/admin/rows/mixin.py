"""An action of any ModelAdmin that asks a model about the chosen rows; the answers beside a row.

It needs nothing but Django's own admin, and looks like it.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch
from django.utils.safestring import SafeString

from batches.admin.base import admin_url
from batches.admin.rows.enrich_form import EnrichForm, writable_fields
from batches.errors import NotPossible
from batches.models import Answer, Batch
from batches.rows import RowsPreview, enrich, preview

ACTION = "enrich_rows"
STEP, START = "enrich_step", "start"
PREVIEWED = 3
SHOWN_ANSWERS = 10
# A request that stores the prompts of more rows takes too long.
MOST_ROWS = 10_000

if TYPE_CHECKING:
    _Base = ModelAdmin[Any]
else:
    _Base = object


class EnrichMixin(_Base):
    """Adds the action to a ModelAdmin, and the answers to the page of a row.

    Users need the permission to add batches and to change the rows. Only fields of the form may be
    written; `enrich_fields` names others.
    """

    enrich_fields: tuple[str, ...] | None = None

    def has_enrich_permission(self, request: HttpRequest) -> bool:
        """Return True if a user may ask a model about rows, and have answers written into them."""
        may_add = request.user.has_perm("batches.add_batch")
        return may_add and self.has_change_permission(request)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        # Django 6.1 names where the actions are shown, and asks for the parameter.
        place = () if action_location is None else (action_location,)
        actions: Any = super().get_actions(request, *place)
        if self.has_enrich_permission(request):
            actions[ACTION] = (
                EnrichMixin.enrich_rows,
                ACTION,
                "Ask a model about the selected %(verbose_name_plural)s",
            )
        return actions

    def enrich_rows(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponseBase:
        """Show the form for the chosen rows with a preview, or start the batch."""
        if not self.has_enrich_permission(request):
            raise PermissionDenied
        fields = self._enrich_fields(request)
        given = request.POST if STEP in request.POST else None
        form = EnrichForm(self.model, fields, request.user, given)
        shown: RowsPreview | None = None
        if form.is_valid():
            try:
                if request.POST[STEP] == START:
                    return self._start(request, queryset, form)
                shown = preview(queryset, n=PREVIEWED, **form.asked())
            except NotPossible as refused:
                form.add_error(None, str(refused))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Ask a model about {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "rows": queryset.count(),
            "shown": shown,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "checkbox": ACTION_CHECKBOX_NAME,
            "action": ACTION,
            "across": request.POST.get("select_across", "0"),
        }
        # Where the names of URLs are looked up, as in all pages of a site.
        setattr(request, "current_app", self.admin_site.name)  # noqa: B010 - Django reads it
        return TemplateResponse(request, "admin/batches/enrich.html", context)

    def _enrich_fields(self, request: HttpRequest) -> list[str]:
        names = self.enrich_fields or tuple(self.get_form(request).base_fields)
        return writable_fields(self.model, names)

    def _start(
        self, request: HttpRequest, queryset: "QuerySet[Any]", form: EnrichForm
    ) -> HttpResponse:
        rows = queryset.count()
        if rows > MOST_ROWS:
            raise NotPossible(
                f"These are {rows:,} rows. The admin takes up to {MOST_ROWS:,} at once: choose "
                "fewer, or call batches.rows.enrich in a shell."
            )
        owner: Any = request.user
        batch = enrich(queryset, owner=owner, **form.arguments())
        if batch is None:
            self.message_user(request, "No row has changed: nothing is asked.", messages.WARNING)
            return redirect(request.get_full_path())
        self.message_user(request, f"{batch.title} is started, with {batch.total:,} rows.")
        return redirect(self._page_of(request, batch) or request.get_full_path())

    def _page_of(self, request: HttpRequest, batch: Batch) -> str:
        """Return the address of the page of a batch; "" if the user may not view it."""
        if not request.user.has_perm("batches.view_batch"):
            return ""
        try:
            return admin_url("batches_batch_change", batch.pk)
        except NoReverseMatch:
            return ""

    # -- the answers beside a row

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else [*fields, "answers_of_row"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or "answers_of_row" in flatten_fieldsets(fieldsets):
            return fieldsets
        return [*fieldsets, (None, {"fields": ["answers_of_row"]})]

    def answers_of_row(self, row: Model) -> SafeString:
        """Show the latest answers for a row, and what became of each."""
        answers = list(Answer.objects.for_row(row)[:SHOWN_ANSWERS])
        return render_to_string("admin/batches/answers_of_row.html", {"answers": answers})

    answers_of_row.short_description = "Answers of models"  # type: ignore[attr-defined]  # as Django reads it
