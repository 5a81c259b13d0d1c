"""Base classes and helpers of all admin pages: their theme and permission checks.

Where unfold is installed, pages are in its theme, else in the one of Django's own admin.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin import site as default_site
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Model
from django.forms import Media
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string

from batches.conf import conf

# True if the admin has unfold's theme.
THEMED = apps.is_installed("unfold")

# Styles and scripts of our pages. Unfold brings htmx along.
PAGE_MEDIA = Media(
    css={"all": ["batches/admin.css", *([] if THEMED else ["batches/plain.css"])]},
    js=[
        *([] if THEMED else ["batches/htmx-2.0.11/htmx.min.js"]),
        # hx-swap="morph": a refresh changes only what differs, so that the focus stays.
        "batches/idiomorph-0.8.0/idiomorph-ext.min.js",
        "batches/admin.js",
    ],
)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:
    if THEMED:
        from unfold.admin import ModelAdmin as Base
    else:
        from django.contrib.admin import ModelAdmin as Base

    class ModelAdmin(Base):
        """The ModelAdmin of the theme, made subscriptable by its model for the type checker."""

        if not THEMED:
            change_list_template = "admin/batches/plain_list.html"
            change_form_template = "admin/batches/plain_form.html"

        @property
        def media(self) -> Media:
            return super().media + PAGE_MEDIA

        def __class_getitem__(cls, _model: object) -> type:
            return cls


# A number of this many digits fits into any integer column of a database.
MAX_DIGITS = 18

M = TypeVar("M", bound=Model)
A = TypeVar("A", bound="ModelAdmin[Any]")

__all__ = [
    "MachineMade",
    "ModelAdmin",
    "admin_url",
    "allowed",
    "note",
    "our_site",
    "page_context",
    "register",
    "small_number",
]


def our_site() -> AdminSite:
    """Return the site of the setting ADMIN_SITE; Django's if the settings are wrong, which a check
    reports. Raise ImproperlyConfigured for a site that is not there."""
    try:
        path = conf().ADMIN_SITE
    except ImproperlyConfigured:
        return default_site
    try:
        site = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f'BATCHES["ADMIN_SITE"]: {error}') from error
    if not isinstance(site, AdminSite):
        raise ImproperlyConfigured(f'BATCHES["ADMIN_SITE"]: {path} is not an AdminSite')
    return site


def register(model: type[Model]) -> Callable[[type[A]], type[A]]:
    """Register a ModelAdmin on our site."""

    def registered(admin: type[A]) -> type[A]:
        our_site().register(model, admin)
        return admin

    return registered


def admin_url(name: str, *arguments: Any) -> str:
    """Return the path of a page of our site, such as `batches_batch_add`."""
    return reverse(f"admin:{name}", args=arguments, current_app=our_site().name)


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
        "themed": THEMED,
        # Custom pages render their own heading.
        "headed": True,
        **more,
    }
