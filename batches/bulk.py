"""Insert many rows into one table at once, without the ORM, on PostgreSQL and SQLite."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection

from batches.models.database_sessions import limit_transaction

Row = Sequence[Any]

# SQLite allows 32,766 variables in a statement. One statement for many rows also releases the
# interpreter lock once instead of once per row, while an event loop waits for it.
SQLITE_VARIABLES = 32_000
# SQLite copies every value of a statement.
SQLITE_CHARS = 4 * 1024 * 1024


def insert_rows(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows inside the caller's transaction. Raise IntegrityError as the ORM would."""
    if connection.vendor == "postgresql":
        _copy(table, columns, rows)
    else:
        _insert_many(table, columns, rows)


def _copy(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    names = ", ".join(map(connection.ops.quote_name, columns))
    statement = f"COPY {table} ({names}) FROM STDIN"
    # COPY bypasses the execute wrappers, so set the timeouts here.
    limit_transaction(connection)
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _insert_many(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    names = ", ".join(map(connection.ops.quote_name, columns))
    one = "(" + ", ".join(["%s"] * len(columns)) + ")"
    with connection.cursor() as cursor:
        for some in _groups(rows, SQLITE_VARIABLES // len(columns)):
            values = ", ".join([one] * len(some))
            flat = [value for row in some for value in row]
            # The names of table and columns are constants; every value is a parameter.
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES {values}", flat)  # noqa: S608 - constants


def _groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Group rows, up to a number of rows and of characters in each group."""
    some: list[Row] = []
    chars = 0
    for row in rows:
        some.append(row)
        chars += sum(len(value) for value in row if isinstance(value, str))
        if len(some) == size or chars >= SQLITE_CHARS:
            yield some
            some, chars = [], 0
    if some:
        yield some
