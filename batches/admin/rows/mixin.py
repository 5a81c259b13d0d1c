"""An action of any ModelAdmin that asks a model about the chosen rows; the answers beside a row.

It needs nothing but Django's own admin, and looks like it.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.decorators import action
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import flatten_fieldsets
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
from batches.admin.rows.row_access import RowAccess
from batches.errors import NotPossible
from batches.models import Answer, Batch
from batches.rows import RowsPreview, enrich, preview
from batches.rows.previewing import SAMPLED

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

    Users need the permissions to add batches and to change each row. A template reads what the
    pages of the admin show of a row, and of the rows that its relations lead to; `enrich_reads`
    names more, such as "secret", "author.email" or "tags". Fields of the form may be written;
    `enrich_fields` names others in their place.
    """

    enrich_fields: tuple[str, ...] | None = None
    enrich_reads: tuple[str, ...] = ()

    def __init__(self, model: type[Any], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        # The actions of the subclass stay; None switches all of them off, as in any ModelAdmin.
        if self.actions is not None:
            others = [one for one in self.actions if getattr(one, "__name__", one) != ACTION]
            self.actions = [*others, ACTION]

    def has_enrich_permission(self, request: HttpRequest) -> bool:
        """Return True if a user may ask a model about rows, and have answers written into them."""
        may_add = request.user.has_perm("batches.add_batch")
        return may_add and self.has_change_permission(request)

    @action(
        permissions=["enrich"],
        description="Ask a model about the selected %(verbose_name_plural)s",
    )
    def enrich_rows(
        self, request: HttpRequest, queryset: "QuerySet[Any]"
    ) -> HttpResponseBase | None:
        """Show the form for the chosen rows with a preview, or start the batch."""
        access = RowAccess(self, request, opened=self.enrich_reads)
        first = queryset.order_by("pk").first()
        try:
            access.check(queryset, reads=(), writes=(), most=SAMPLED)
        except NotPossible as refused:
            self.message_user(request, str(refused), messages.ERROR)
            return None
        if first is None:
            self.message_user(request, "The chosen rows are gone.", messages.WARNING)
            return None
        given = request.POST if STEP in request.POST else None
        form = EnrichForm(self.model, self._enrich_fields(access, first), given)
        shown: RowsPreview | None = None
        if form.is_valid():
            try:
                if request.POST[STEP] == START:
                    return self._start(request, queryset, form, access)
                self._check(access, queryset, form, most=SAMPLED)
                shown = preview(queryset, n=PREVIEWED, **form.asked())
            except NotPossible as refused:
                form.add_error(None, str(refused))
        return self._page(request, queryset, form, shown)

    def _page(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Any]",
        form: EnrichForm,
        shown: RowsPreview | None,
    ) -> TemplateResponse:
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

    def _enrich_fields(self, access: RowAccess, row: Model) -> list[str]:
        return writable_fields(self.model, self.enrich_fields or access.writable(row))

    def _check(
        self,
        access: RowAccess,
        queryset: "QuerySet[Any]",
        form: EnrichForm,
        *,
        most: int | None = None,
    ) -> None:
        """Raise NotPossible if the user may not read or write what the form names."""
        writes = () if self.enrich_fields else form.cleaned_data["fields_to_write"]
        access.check(queryset, reads=form.reads, writes=writes, most=most)

    def _start(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Any]",
        form: EnrichForm,
        access: RowAccess,
    ) -> HttpResponse:
        rows = queryset.count()
        if rows > MOST_ROWS:
            raise NotPossible(
                f"These are {rows:,} rows. The admin takes up to {MOST_ROWS:,} at once: choose "
                "fewer, or call batches.rows.enrich in a shell."
            )
        self._check(access, queryset, form)
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
