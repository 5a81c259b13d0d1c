"""What all pages have in common: unfold's looks, and who may do what."""

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin as UnfoldAdmin

    class ModelAdmin(UnfoldAdmin):
        """Unfold's, which can name its model in brackets as the type checker wants it."""

        def __class_getitem__(cls, _model: object) -> type:
            return cls


# Of the largest number that fits into any integer of a database's.
MAX_DIGITS = 18

M = TypeVar("M", bound=Model)

__all__ = ["MachineMade", "ModelAdmin", "allowed", "note", "page_context", "small_number"]


class MachineMade(ModelAdmin[M]):
    """Rows that people look at, and at most delete."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: M | None = None) -> bool:
        return False


def allowed(admin: ModelAdmin[M], request: HttpRequest, pk: int, *, to: str) -> M:
    """The row, if the user may do this to it. Raises Http404 and PermissionDenied."""
    related = admin.list_select_related
    rows = admin.get_queryset(request)
    if not isinstance(related, bool):
        rows = rows.select_related(*related)
    row = rows.filter(pk=pk).first()
    if row is None or not admin.has_view_permission(request, row):
        raise Http404
    if not getattr(admin, f"has_{to}_permission")(request, row):
        raise PermissionDenied
    return row


def note(request: HttpRequest, row: Model, what: str) -> None:
    """Have the history of a row tell who did what."""
    LogEntry.objects.create(
        user_id=request.user.pk or 0,
        content_type_id=get_content_type_for_model(row).pk,
        object_id=row.pk,
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=what,
    )


def small_number(text: str) -> int | None:
    """The number that an address names, if it can be one of a row."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def page_context(
    admin: ModelAdmin[M], request: HttpRequest, title: str, **more: Any
) -> dict[str, Any]:
    """What a page of our own needs to look like the others."""
    return {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "media": admin.media,
        # These pages have a heading of their own.
        "headed": True,
        **more,
    }
