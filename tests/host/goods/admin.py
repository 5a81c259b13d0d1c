"""The project's own pages of its goods: staff change their own, and see less than there is."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from batches.admin.rows import EnrichMixin
from tests.host.goods.models import Category, Item


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # only its stubs can be subscripted
    exclude = ("note",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).exclude(name="hidden")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and (obj is None or obj.name != "private")


@admin.register(Item)
class ItemAdmin(EnrichMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # as above
    actions = ("empty",)
    exclude = ("secret",)
    list_display = ("title", "views")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        kept = ["summary"] if obj and obj.title == "done" else []
        return [*fields, "title", *kept] if obj else fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_own = obj is None or obj.owner_id == request.user.pk
        return super().has_change_permission(request, obj) and is_own

    def empty(self, _request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        """Empty the summaries."""
        queryset.update(summary="")
