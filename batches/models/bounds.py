"""Bounds of the columns of results and batches, the same on every database.

SQLite stores values that PostgreSQL refuses, and fails when it reads them; hence these bounds.
"""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import F, FloatField, Model, Value
from django.db.models.functions import Least

from batches.engine.plain_text import storable_text
from batches.engine.records import MAX_TOKENS

# The bound for sums of a batch. SQLite has 64-bit integers, so sums of thousands of batches fit.
MAX_SUM = 10**15
# Below the maximum of the column, so that a float near it can also be read back.
MAX_COST = Decimal(99_999_999)
# Thirty years.
MAX_SECONDS = 1e9
# PostgreSQL refuses rows of 1 GiB; COPY may write two bytes for one.
MAX_TEXT_BYTES = 500_000_000

ZERO = Decimal(0)

# Longer names are not shown as the model of a batch.
MAX_MODEL_CHARS = 255
# The name of a batch or a file.
MAX_NAME_CHARS = 255
# The reason of a pause or an outage.
MAX_REASON_CHARS = 1000
# The digest of a request.
DIGEST_BYTES = 16
# Databases take a limited number of parameters in a query.
IDS_IN_A_QUERY = 500


class Unstorable(ValueError):
    """A value cannot be stored; the message names the column and the reason."""


def bounded_count(count: int) -> int:
    """Return a count within the bounds of a column."""
    return min(max(count, 0), MAX_TOKENS)


def bounded_seconds(seconds: float) -> float:
    """Return a time in seconds that can be stored and added up."""
    return min(max(seconds, 0.0), MAX_SECONDS) if math.isfinite(seconds) else 0.0


def bounded_cost(cost: Decimal) -> Decimal:
    """Return a cost in dollars that can be stored and added up."""
    return min(max(cost, ZERO), MAX_COST) if cost.is_finite() else ZERO


def short_text(model: type[Model], column: str, text: str) -> str:
    """Return a text, made storable and cut to the length of its column."""
    most: int | None = getattr(model._meta.get_field(column), "max_length", None)
    return storable_text(text[:most])


def long_text(column: str, text: str | None) -> str | None:
    """Return a text unchanged. Raise Unstorable if a database would refuse it."""
    if text is None:
        return None
    if "\x00" in text:
        raise Unstorable(f"{column} has the character NUL")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise Unstorable(f"{column} has half of a surrogate pair") from error
    if size > MAX_TEXT_BYTES:
        raise Unstorable(f"{column} has {size} bytes; at most {MAX_TEXT_BYTES} can be stored")
    return text


def bounded_total(counts: Iterable[int]) -> int:
    """Return a sum of counts that can be stored and added up."""
    return min(max(sum(counts), 0), MAX_SUM)


def added(column: str, amount: Any) -> Any:
    """Return the SQL expression that adds a number to a sum and stays within its bound."""
    return Least(F(column) + amount, Value(MAX_SUM))


def added_cost(column: str, amount: Any) -> Any:
    """Return the SQL expression that adds dollars to a sum and stays within its bound."""
    return Least(F(column) + amount, Value(MAX_COST))


def bounded_sum(seconds: Any) -> Any:
    """Return an SQL expression of seconds, bounded."""
    return Least(seconds, Value(MAX_SECONDS), output_field=FloatField())
