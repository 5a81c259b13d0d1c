"""Error pages in the look of the admin, with a way back. Under /v1 the API answers."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse

from batches.api import errors
from batches.api.request_id import current_request_id
from batches.formats import size


@dataclass(frozen=True, slots=True)
class Problem:
    """The text of an error page; `details` is for the operator of the server."""

    status: int
    title: str
    text: str
    details: str = ""


BAD = Problem(400, "Bad request", "The server cannot understand this request.")
FORBIDDEN = Problem(
    403,
    "No permission",
    "You do not have permission to do this. Ask an administrator for it, or log in as another "
    "user.",
)
STALE_FORM = Problem(
    403,
    "The form has expired",
    "You logged in or out after this page was loaded, or cookies are blocked. Nothing was saved: "
    "go back, reload the page, and send the form again.",
)
NOT_FOUND = Problem(
    404,
    "Page not found",
    "There is nothing at this address. It may have been deleted, or the address is mistyped.",
)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    if errors.is_ours(request.path):
        return errors.error_response(errors.ApiError(400, "The request cannot be understood."))
    return _page(request, _too_large() if isinstance(exception, RequestDataTooBig) else BAD)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    if errors.is_ours(request.path):
        return errors.error_response(errors.as_api_error(PermissionDenied(exception)))
    return _page(request, FORBIDDEN)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django names it
    if errors.is_ours(request.path):
        return errors.error_response(errors.no_such_path(request.path))
    return _page(request, NOT_FOUND)


def handler500(request: HttpRequest) -> HttpResponse:
    if errors.is_ours(request.path):
        return errors.error_response(errors.server_error())
    # The database may be down, so the page must not load the user.
    request.user = AnonymousUser()
    return _page(
        request,
        Problem(
            500,
            "Server error",
            "The server failed on this request. Try again; if it fails again, tell an "
            "administrator the ID of the request, which is in the log.",
            f"Request ID: {current_request_id()}",
        ),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django names it
    """Return the page for a form without a valid CSRF token (Django's CSRF_FAILURE_VIEW)."""
    return _page(request, STALE_FORM)


def _too_large() -> Problem:
    return Problem(
        413,
        "Too large",
        f"A form may hold up to {size(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)} of text. What you "
        "sent was not saved. Go back: your browser has kept what you entered. Put long texts into "
        "a file and upload it; files may be larger.",
    )


def _page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Render a problem: with the sidebar for staff, else alone."""
    inside = admin.site.has_permission(request)
    context = {
        **admin.site.each_context(request),
        "layout": "admin/base_site.html" if inside else "unfold/layouts/unauthenticated.html",
        "title": problem.title,
        "headed": True,
        "problem": problem,
        "parent": _list_of(request.path),
    }
    return render(request, "admin/error.html", context, status=problem.status)


def _list_of(path: str) -> str:
    """Return the path of the list that a page of the admin belongs to; empty if there is none."""
    root = reverse("admin:index")
    steps = path.removeprefix(root).split("/")
    parent = f"{root}{'/'.join(steps[:2])}/"
    if not path.startswith(root) or parent == path:
        return ""
    try:
        name = resolve(parent).url_name or ""
    except Resolver404:
        return ""
    return parent if name.endswith("_changelist") else ""
