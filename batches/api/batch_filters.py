"""Filters for the list of batches: by status and by creation time."""

from datetime import UTC, datetime, timedelta

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from batches.api.http.pages import invalid
from batches.engine.text.wording import supported
from batches.lifecycle import BatchStatus

# The official client sends a list as `status[]`.
STATUS_NAMES = ("status", "status[]")
# The end of the year 9999.
LATEST = 253_402_300_799
UNIX_TIME = {"type": "integer", "minimum": 0, "maximum": LATEST - 1}

PARAMETERS = [
    OpenApiParameter(
        "status",
        str,
        many=True,
        enum=[str(status) for status in BatchStatus],
        description="only batches with this status, or with one of these if it is given repeatedly",
    ),
    OpenApiParameter(
        "created_after",
        UNIX_TIME,
        description="only batches created after this Unix time, in seconds",
    ),
    OpenApiParameter(
        "created_before",
        UNIX_TIME,
        description="only batches created before this Unix time, in seconds",
    ),
]


def chosen_batches(request: Request) -> Q:
    """Return the condition of the filters in a request. Raise ApiError if one is invalid."""
    statuses = _statuses(request)
    after, before = (_moment(request, name) for name in ("created_after", "created_before"))
    chosen = Q(status__in=statuses) if statuses else Q()
    if after is not None:
        # Add a second: batches show `created_at` without its fraction.
        chosen &= Q(created_at__gte=after + timedelta(seconds=1))
    if before is not None:
        chosen &= Q(created_at__lt=before)
    return chosen


def _statuses(request: Request) -> set[str]:
    given = [text for name in STATUS_NAMES for text in request.query_params.getlist(name)]
    known = [str(status) for status in BatchStatus]
    for text in given:
        if text not in known:
            raise invalid(request, "status", supported(known), value=text)
    return set(given)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else -1
    if not 0 <= seconds < LATEST:
        expected = f"Expected a Unix time in whole seconds, from 0 to {LATEST - 1}."
        raise invalid(request, name, expected)
    return datetime.fromtimestamp(seconds, tz=UTC)
