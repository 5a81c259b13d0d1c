"""Insert many rows into one table at once, without the ORM, on PostgreSQL and SQLite."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from batches.database import connection
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
        for some in _groups(list(rows), SQLITE_VARIABLES // len(columns)):
            values = ", ".join([one] * len(some))
            flat = list(chain.from_iterable(some))
            # The names of table and columns are constants; every value is a parameter.
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES {values}", flat)  # noqa: S608 - constants


def _groups(rows: list[Row], size: int) -> Iterator[list[Row]]:
    """Group rows, up to a number of rows and of characters in each group."""
    if len(rows) > size or (len(rows) > 1 and _chars(rows) > SQLITE_CHARS):
        half = len(rows) // 2
        yield from _groups(rows[:half], size)
        yield from _groups(rows[half:], size)
    elif rows:
        yield rows


def _chars(rows: list[Row]) -> int:
    return sum([len(value) for value in chain.from_iterable(rows) if type(value) is str])
