"""Base classes and helpers of all admin pages: unfold's theme and permission checks."""

from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:
    if apps.is_installed("unfold"):
        from unfold.admin import ModelAdmin as ThemedAdmin
    else:
        from django.contrib.admin import ModelAdmin as ThemedAdmin

    class ModelAdmin(ThemedAdmin):
        """The ModelAdmin of the theme, made subscriptable by its model for the type checker."""

        def __class_getitem__(cls, _model: object) -> type:
            return cls


# A number of this many digits fits into any integer column of a database.
MAX_DIGITS = 18

M = TypeVar("M", bound=Model)

__all__ = ["MachineMade", "ModelAdmin", "allowed", "note", "page_context", "small_number"]


class MachineMade(ModelAdmin[M]):
    """Rows that the app writes; staff may view them and at most delete them."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: M | None = None) -> bool:
        return False


def allowed(admin: ModelAdmin[M], request: HttpRequest, pk: int, *, to: str) -> M:
    """Return the row if the user has the permission `to`. Raises Http404 and PermissionDenied."""
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
    """Add an entry to the history of a row: the user and what the user did."""
    LogEntry.objects.create(
        user_id=request.user.pk or 0,
        content_type_id=get_content_type_for_model(row).pk,
        object_id=row.pk,
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=what,
    )


def small_number(text: str) -> int | None:
    """Return the number in a URL if it can be the primary key of a row, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def page_context(
    admin: ModelAdmin[M], request: HttpRequest, title: str, **more: Any
) -> dict[str, Any]:
    """Return the template context that a custom page needs to look like the admin's pages."""
    return {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "media": admin.media,
        # Custom pages render their own heading.
        "headed": True,
        **more,
    }
