"""The sidebar of every page: links to what the user may view."""

from collections.abc import Callable
from typing import Any

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
PEOPLE = (("auth.user", "Users", "person"), ("auth.group", "Groups", "group"))


def navigation(_request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links."""
    dashboard = {"title": "Dashboard", "icon": "monitoring", "link": reverse("admin:index")}
    return [
        {"items": [dashboard, *map(_item, PAGES)]},
        {"title": "People", "separator": True, "items": list(map(_item, PEOPLE))},
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
