"""Pagination of lists: the next page begins after the last ID of the previous page."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from django.db.models import Model, Q, QuerySet
from pydantic import BaseModel
from rest_framework.request import Request

from batches.api.errors import ApiError
from batches.api.fields import shown
from batches.api.http.view import NUL
from batches.engine.text.wording import supported, value_text

M = TypeVar("M", bound=Model)

Order = Literal["asc", "desc"]


class Page(BaseModel):
    """The common fields of a page; each kind of list adds `data`."""

    object: Literal["list"] = "list"
    has_more: bool
    first_id: str | None = shown(None)
    last_id: str | None = shown(None)


def list_page(
    request: Request,
    queryset: QuerySet[M],
    present: Callable[[M], BaseModel],
    *,
    default_limit: int,
    max_limit: int,
    orders: Sequence[Order] = ("desc",),
    chosen: Q | None = None,
) -> dict[str, Any]:
    """Return a page of rows that have a public_id, by age; the first of `orders` is the default.

    Only rows that match `chosen` are shown, but `after` may name any row: the last row of the
    previous page may no longer match.
    """
    limit = limit_of(request, default=default_limit, most=max_limit)
    order = _choice(request, "order", orders)
    sign, further = ("-", "pk__lt") if order == "desc" else ("", "pk__gt")
    after = request.query_params.get("after")
    if after:
        queryset = queryset.filter(**{further: _pk_of(request, queryset, after)})
    if chosen is not None:
        queryset = queryset.filter(chosen)
    rows = list(queryset.order_by(f"{sign}pk")[: limit + 1])
    return as_page([present(row) for row in rows[:limit]], has_more=len(rows) > limit)


def as_page(items: Sequence[BaseModel], *, has_more: bool) -> dict[str, Any]:
    """Return a page of items that have an ID."""
    data = [item.model_dump(mode="json") for item in items]
    return {
        "object": "list",
        "data": data,
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def limit_of(request: Request, *, default: int, most: int) -> int:
    """Return the maximum number of rows in a page. Raise ApiError if the limit is invalid."""
    text = request.query_params.get("limit")
    if text is None:
        return default
    # Not int() alone: it takes "1_0", " 1", other scripts' digits and texts of any length.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise invalid(request, "limit", f"Expected a whole number from 1 to {most}.")
    return number


# The place of a row in a list is unknown once the row is deleted.
NO_SUCH_PLACE = (
    "Expected an id of this list; the row may have been deleted. Start again without 'after'."
)


def _choice(request: Request, name: str, choices: Sequence[Order]) -> Order:
    text = request.query_params.get(name, choices[0])
    for choice in choices:
        if choice == text:
            return choice
    raise invalid(request, name, supported(choices))


def _pk_of(request: Request, queryset: QuerySet[M], after: str) -> int:
    known = None
    if NUL not in after:
        known = queryset.filter(public_id=after).values_list("pk", flat=True).first()
    if known is None:
        raise invalid(request, "after", NO_SUCH_PLACE)
    return int(known)


def invalid(request: Request, param: str, expected: str, *, value: str | None = None) -> ApiError:
    """Return the 400 for a query parameter; `expected` is a sentence.

    If the parameter was given several times, `value` is the refused value.
    """
    given = request.query_params.get(param, "") if value is None else value
    message = value_text(param, given, expected)
    return ApiError(400, message, code="invalid_value", param=param)
