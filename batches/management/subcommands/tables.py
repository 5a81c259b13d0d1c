"""Write tables and JSON to standard output."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batches.management.terminal import excerpt

# Rows that a program reads are not cut.
UNLIMITED_WIDTH = 10_000
SPACIOUS_WIDTH = 150


def is_spacious(out: TextIO) -> bool:
    """Return True if long IDs fit beside the other columns, or a program reads the rows."""
    return _console(out).width >= SPACIOUS_WIDTH


def write_table(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write aligned rows below a header; a name that begins with `>` is of a column of numbers.

    On a terminal, the last columns are cut to its width. Control characters are replaced.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(
            name.removeprefix(">"),
            justify="right" if name.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(excerpt(cell)) for cell in row))
    _console(out).print(table)


def write_pairs(out: TextIO, pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values, aligned. Control characters are replaced."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in pairs:
        table.add_row(Text(name, style="bold"), Text(excerpt(value)))
    _console(out).print(table)


def write_json(out: TextIO, value: Any) -> None:
    """Write a value as JSON."""
    out.write(json.dumps(value, indent=2, default=float) + "\n")


def _console(out: TextIO) -> Console:
    return Console(file=out, width=None if out.isatty() else UNLIMITED_WIDTH)
