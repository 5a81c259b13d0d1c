"""What the bulk command has stored in the data folder of its process."""

import sqlite3
from contextlib import closing

from tests.processes.conftest import CommandLine


def stored(cli: CommandLine, sql: str, *values: object) -> list[tuple[object, ...]]:
    """The rows of a query, or what a statement has changed, in the embedded database."""
    with closing(sqlite3.connect(cli.folder / "var" / "db.sqlite3")) as connection:
        rows = connection.execute(sql, values).fetchall()
        connection.commit()
    return rows


def batch_id(cli: CommandLine) -> str:
    """The id of the first batch."""
    sql = "SELECT public_id FROM batches_batch ORDER BY id LIMIT 1"
    return str(stored(cli, sql)[0][0])
