"""Admin of batches: the list, and the URLs of all pages and actions of a batch."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from batches.admin.base import MachineMade, register, small_number
from batches.admin.batches import answer_views, batch_views
from batches.admin.batches.bulk import ACTIONS, MOST_CHOSEN
from batches.admin.batches.creation import form_views
from batches.admin.batches.graphs import SHOWN_ID_CHARS
from batches.admin.batches.page import colour_of_state, progress_of
from batches.admin.batches.results import result_views
from batches.formats import dollars, rate
from batches.leases.state import STATES, in_states, label_of, state_of, with_state
from batches.limits.prices import cost_of
from batches.models import Batch, Prompt

View = Callable[..., HttpResponseBase]

# Long, and not shown in the list.
UNLISTED = ("defaults", "errors", "warnings", "report")


class StateFilter(admin.SimpleListFilter):
    """The states of the list, in the words of the list."""

    title = "status"
    parameter_name = "state"

    def lookups(
        self, _request: HttpRequest, _model_admin: "admin.ModelAdmin[Any]"
    ) -> list[tuple[str, str]]:
        return [(word, label_of(word)) for word in STATES]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Batch]) -> QuerySet[Batch]:
        return in_states(queryset, [self.value() or ""]) if self.value() else queryset


class BatchList(ChangeList):
    """A page of the list, without the long columns of its batches."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Batch]:
        return super().get_queryset(request, exclude_parameters).defer(*UNLISTED)


@register(Batch)
class BatchAdmin(MachineMade[Batch]):
    """Staff create batches in a form, watch, cancel, retry and delete them; workers run them."""

    list_display = ("titled", "ident", "state", "progress", "where", "speed", "spent")
    list_select_related = ("provider", "owner", "input_file", "output_file", "error_file")
    list_filter = (
        StateFilter,
        ("provider", admin.RelatedOnlyFieldListFilter),
        ("owner", admin.RelatedOnlyFieldListFilter),
        "created_at",
    )
    list_per_page = MOST_CHOSEN
    list_fullwidth = True
    list_disable_select_all = True
    list_before_template = "admin/batches/live_list.html"
    search_fields = ("name",)
    search_help_text = "Search by name, batch ID or custom_id"
    ordering = ("-pk",)
    show_full_result_count = False
    actions = ACTIONS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Batch]:
        return with_state(super().get_queryset(request).filter(deleted_at=None))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - named as Django's
        return BatchList

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Batch], search_term: str
    ) -> tuple[QuerySet[Batch], bool]:
        """Search by a part of the name, the beginning of the ID, or the custom_id of a prompt."""
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        # An index lookup for each batch instead of a scan of all prompts.
        asked = Exists(Prompt.objects.filter(batch=OuterRef("pk"), custom_id=term))
        found = Q(name__icontains=term) | Q(public_id__startswith=term) | asked
        return queryset.filter(found), False

    # -- columns

    @admin.display(description="Name", ordering="name")
    def titled(self, batch: Batch) -> SafeString:
        return format_html(
            '<div class="tp-cell" id="batch-{}"><span class="tp-about tp-id" title="{}">{}</span>'
            '<span class="tp-about">{} UTC</span></div>',
            batch.pk,
            batch.title,
            batch.title,
            f"{batch.created_at:%Y-%m-%d %H:%M}",
        )

    @admin.display(description="ID", ordering="pk")
    def ident(self, batch: Batch) -> SafeString:
        copied = {"text": batch.public_id, "what": f"the ID of {batch.title}"}
        button = render_to_string("admin/batches/copy.html", copied)
        short = batch.public_id[:SHOWN_ID_CHARS]
        return format_html('<div class="tp-cell"><code>{}…</code> {}</div>', short, button)

    @admin.display(description="Status", ordering="status")
    def state(self, batch: Batch) -> SafeString:
        state = state_of(batch)
        badge = '<span class="tp-badge tp-{}" title="{}" data-status="{}">{}</span>'
        return format_html(badge, colour_of_state(batch), state, batch.status, state.label)

    @admin.display(description="Progress")
    def progress(self, batch: Batch) -> SafeString:
        context = {"progress": progress_of(batch), "batch": batch}
        shown = render_to_string("admin/batches/progress.html", context)
        return format_html('<div class="tp-cell">{}</div>', shown)

    @admin.display(description="Model, provider", ordering="model")
    def where(self, batch: Batch) -> SafeString:
        model = batch.model or "several models"
        place = f"{batch.provider} · {batch.owner}" if batch.owner else str(batch.provider)
        return format_html(
            '<div class="tp-cell"><span class="tp-about tp-strong" title="{}">{}</span>'
            '<span class="tp-about" title="{}">{}</span></div>',
            model,
            model,
            place,
            place,
        )

    @admin.display(description="Rate")
    def speed(self, batch: Batch) -> str:
        done = batch.succeeded + batch.failed
        return rate(done / batch.active_s if done and batch.active_s else None)

    @admin.display(description="Cost", ordering="cost")
    def spent(self, batch: Batch) -> str:
        return dollars(cost_of(batch))

    # -- permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.add_batch")

    def has_delete_permission(self, _request: HttpRequest, _obj: Batch | None = None) -> bool:
        """Forbid Django's delete page, which lists all rows; the batch page has a button."""
        return False

    def has_act_permission(self, request: HttpRequest, _obj: Batch | None = None) -> bool:
        return request.user.has_perm("batches.change_batch")

    def has_remove_permission(self, request: HttpRequest, _obj: Batch | None = None) -> bool:
        return request.user.has_perm("batches.delete_batch")

    def has_results_permission(self, request: HttpRequest, _obj: Batch | None = None) -> bool:
        return request.user.has_perm("batches.view_result")

    # -- pages

    def add_view(
        self, request: HttpRequest, _form_url: str = "", _extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        return form_views.new(self, request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        _form_url: str = "",
        _extra: dict[str, Any] | None = None,
    ) -> HttpResponse:
        pk = small_number(object_id)
        if pk is None:
            raise Http404
        return batch_views.detail(self, request, pk)

    def get_urls(self) -> list[URLPattern]:
        views: tuple[tuple[str, str, View], ...] = (
            ("compare/", "compare", require_safe(batch_views.compare)),
            ("compare-answers/", "answers", require_safe(answer_views.compare_answers)),
            ("compare-answers.csv", "answers_csv", require_safe(answer_views.answers_csv)),
            ("columns/", "columns", require_POST(form_views.columns)),
            ("rows/", "rows", require_POST(form_views.rows)),
            ("<int:pk>/live/", "live", require_safe(batch_views.live)),
            ("<int:pk>/cancel/", "cancel", require_POST(batch_views.cancel)),
            ("<int:pk>/retry/", "retry", require_POST(batch_views.retry)),
            ("<int:pk>/pause/", "pause", require_POST(batch_views.pause)),
            ("<int:pk>/resume/", "resume", require_POST(batch_views.resume)),
            ("<int:pk>/rename/", "rename", require_POST(batch_views.rename)),
            ("<int:pk>/again/", "again", require_POST(form_views.again)),
            ("<int:pk>/remove/", "remove", require_POST(batch_views.remove)),
            ("<int:pk>/results/", "results", require_safe(result_views.results)),
            ("<int:pk>/results.jsonl", "jsonl", require_safe(result_views.jsonl)),
            ("<int:pk>/results.csv", "csv", require_safe(result_views.csv)),
            ("<int:pk>/results.parquet", "parquet", require_safe(result_views.parquet)),
            ("<int:pk>/results/<int:index>/", "result", require_safe(result_views.result)),
        )
        ours = [
            path(route, self.admin_site.admin_view(_of(view, self)), name=f"batches_batch_{name}")
            for route, name, view in views
        ]
        return [*ours, *super().get_urls()]


def _of(view: View, this: BatchAdmin) -> View:
    """Bind a view to the admin; the request stays first, as decorators of views expect."""

    def bound(request: HttpRequest, **arguments: int) -> HttpResponseBase:
        return view(request, this, **arguments)

    return bound
