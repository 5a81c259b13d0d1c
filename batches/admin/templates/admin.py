"""Admin of templates: the list by name, and the page of a version. Versions never change."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Case, Count, IntegerField, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batches.admin.base import MachineMade, allowed, page_context, register, small_number
from batches.admin.templates.shown import changes_of
from batches.formats import count
from batches.models import Batch, Template
from batches.models.template import TemplateQuerySet
from batches.users import User

# The latest are shown.
MOST_VERSIONS = 100
MOST_BATCHES = 20


class TemplateList(ChangeList):
    """A page of the list: the latest version of each name, without its messages."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Template]:
        found = super().get_queryset(request, exclude_parameters)
        latest = cast(TemplateQuerySet, found).latest_versions()
        return latest.annotate(uses=_uses()).defer("messages")


def _uses() -> Case:
    """Count the batches that used any version of a name."""
    used = Batch.objects.filter(deleted_at=None, template__name=OuterRef("name"))
    of_owner = used.filter(template__owner=OuterRef("owner"))
    # NULLs are not equal.
    unowned = used.filter(template__owner=None)
    return Case(When(owner=None, then=_number_of(unowned)), default=_number_of(of_owner))


def _number_of(batches: QuerySet[Batch]) -> Coalesce:
    counted = batches.order_by().values("template__name").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number"), output_field=IntegerField()), 0)


@register(Template)
class TemplateAdmin(MachineMade[Template]):
    """Staff see their own templates and the ones without an owner; superusers see all."""

    list_display = ("titled", "versions", "used", "owner", "created_at")
    list_select_related = ("owner",)
    list_display_links = ("titled",)
    search_fields = ("name",)
    search_help_text = "Search by name"
    ordering = ("-pk",)
    show_full_result_count = False
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        rows = cast(TemplateQuerySet, super().get_queryset(request))
        return rows.visible_to(cast(User, request.user))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - named as Django's
        return TemplateList

    def has_delete_permission(self, _request: HttpRequest, _obj: Template | None = None) -> bool:
        """Keep every version: batches show what made their prompts."""
        return False

    @admin.display(description="Name", ordering="name")
    def titled(self, template: Template) -> SafeString:
        name = template.name or "template"
        return format_html('<span class="tp-id" title="{}">{}</span>', name, name)

    @admin.display(description="Latest version", ordering="version")
    def versions(self, template: Template) -> str:
        return f"v{template.version}"

    @admin.display(description="Batches")
    def used(self, template: Template) -> str:
        return count(vars(template)["uses"])

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        _form_url: str = "",
        _extra: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a version: its messages, the changes since the one before, and who used it."""
        pk = small_number(object_id)
        if pk is None:
            raise Http404
        template = allowed(self, request, pk, to="view")
        versions = Template.objects.same_name(template)
        used = Batch.objects.filter(template__in=versions.values("pk"), deleted_at=None)
        may_list = request.user.has_perm("batches.view_batch")
        context = page_context(
            self,
            request,
            str(template),
            object=template,
            changes=changes_of(template),
            versions=list(versions.defer("messages")[:MOST_VERSIONS]),
            batches=list(_named(used)[:MOST_BATCHES]) if may_list else None,
            may_use=request.user.has_perm("batches.add_batch"),
        )
        return render(request, "admin/batches/template.html", context)


def _named(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Return the batches, newest first, with what a link to each needs."""
    needed = ("public_id", "name", "created_at", "status", "total", "template__version")
    return batches.select_related("template").only(*needed).order_by("-pk")
