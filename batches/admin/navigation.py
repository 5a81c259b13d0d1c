"""The sidebar of every page: links to what the user may view."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import reverse

PAGES = (
    ("batches.batch", "Batches", "stacks"),
    ("batches.template", "Templates", "edit_note"),
    ("batches.provider", "Providers", "cloud"),
    ("batches.file", "Files", "description"),
    ("batches.apitoken", "API tokens", "key"),
    ("batches.webhookendpoint", "Webhooks", "webhook"),
    ("batches.webhookdelivery", "Deliveries", "outbox"),
)


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links."""
    dashboard = {"title": "Dashboard", "icon": "monitoring", "link": reverse("admin:index")}
    people = [
        (get_user_model()._meta.label_lower, "Users", "person"),
        ("auth.group", "Groups", "group"),
    ]
    # A project may have no such pages.
    shown = [page for page in people if admin.site.is_registered(apps.get_model(page[0]))]
    return [
        {"items": [dashboard, *map(_item, PAGES)]},
        {"title": "People", "separator": True, "items": list(map(_item, shown))},
    ]


def _item(page: tuple[str, str, str]) -> dict[str, Any]:
    name, title, icon = page
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{name.replace('.', '_')}_changelist"),
        "permission": _may_view(name),
    }


def _may_view(name: str) -> Callable[[HttpRequest], bool]:
    app, _, model = name.partition(".")

    def permission(request: HttpRequest) -> bool:
        user = request.user
        return user.has_perm(f"{app}.view_{model}") or user.has_perm(f"{app}.change_{model}")

    return permission
