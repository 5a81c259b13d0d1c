"""Triggers that have the database refuse what it would store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

MESSAGE = "this value is out of range"


@contextmanager
def refusing(table: str, condition: str, *, on: str = "INSERT") -> Iterator[None]:
    """Refuse the rows of a table that fulfil an SQL condition on NEW, inside the block."""
    make: Sequence[str]
    drop: Sequence[str]
    made = f"TRIGGER refuse BEFORE {on} ON {table}"
    if connection.vendor == "postgresql":
        body = f"BEGIN RAISE EXCEPTION '{MESSAGE}'; END"
        function = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
        when = f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        make = (function, f"CREATE {made} {when}")
        drop = (f"DROP TRIGGER refuse ON {table}", "DROP FUNCTION refuse()")
    else:
        body = f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        make = (f"CREATE {made} WHEN {condition} {body}",)
        drop = ("DROP TRIGGER refuse",)
    _execute(make)
    try:
        yield
    finally:
        _execute(drop)


def _execute(statements: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
