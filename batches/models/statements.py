"""Statements that the ORM compiles once, since building one costs more than the database needs.

A statement is written with the ORM; a `hole` stands for each value that changes. Use it only for
statements that run for each chunk of a batch or each page of its results, or between the request
for a small one and its end.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, cast

from django.db.models import DurationField, Field, QuerySet
from django.db.models.expressions import CombinedExpression, RawSQL
from django.db.models.functions import Now
from django.db.models.sql import UpdateQuery

from batches.database import connection

Compiled = tuple[str, tuple[Any, ...]]


class Hole:
    """The place of a value in a compiled statement."""

    def __init__(self, name: str) -> None:
        self.name = name


def hole(name: str, output_field: "Field[Any, Any] | None" = None, *, sql: str = "%s") -> RawSQL:
    """Return an expression for the value of this name."""
    return RawSQL(sql, (Hole(name),), output_field=output_field)  # noqa: S611 - one parameter


def end_after(name: str) -> CombinedExpression:
    """Return the time on the database's clock, plus the length of this name as `length` gives."""
    return Now() + hole(name, DurationField())


def length(seconds: float) -> Any:
    """Return a time span as the database takes it."""
    return DurationField().get_db_prep_value(timedelta(seconds=seconds), connection)


class Statement:
    """A statement with holes. `build` is called once for each kind of database."""

    def __init__(self, build: Callable[[], Compiled]) -> None:
        self._compiled = cache(lambda _vendor: build())

    def run(self, **values: Any) -> int:
        """Execute an update; return the number of rows."""
        with connection.cursor() as cursor:
            self._execute(cursor, values)
            return int(cursor.rowcount)

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Execute a query; return its rows as the driver gives them."""
        with connection.cursor() as cursor:
            self._execute(cursor, values)
            return list(cursor.fetchall())

    def _execute(self, cursor: Any, values: dict[str, Any]) -> None:
        sql, params = self._compiled(connection.vendor)
        cursor.execute(sql, [values[p.name] if isinstance(p, Hole) else p for p in params])


def update_of(queryset: QuerySet[Any], **changes: Any) -> Compiled:
    """Compile the update of a queryset."""
    query = cast("UpdateQuery", queryset.query.chain(UpdateQuery))
    query.add_update_values(changes)
    sql, params = query.get_compiler(connection=connection).as_sql()
    return sql, tuple(params)


def query_of(queryset: QuerySet[Any, Any]) -> Compiled:
    """Compile a query for values."""
    sql, params = queryset.query.get_compiler(connection=connection).as_sql()
    return sql, tuple(params)
