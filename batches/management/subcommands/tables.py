"""Write tables and JSON to standard output."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from batches.management.terminal import excerpt

# Rows that a program reads are not cut.
UNLIMITED_WIDTH = 10_000
SPACIOUS_WIDTH = 150
# Between two columns.
GAP = 2
# No column is cut further.
LEAST_CHARS = 8


def is_spacious(out: TextIO) -> bool:
    """Return True if all columns fit beside long IDs, or a program reads the rows."""
    return _console(out).width >= SPACIOUS_WIDTH


def write_table(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write aligned rows below a header.

    A name that begins with `>` is of a column of numbers, one with `=` of a column of IDs. On a
    terminal that is too narrow, the widest of the other columns are cut. Control characters are
    replaced.
    """
    names = [name.lstrip(">=") for name in columns]
    cells = [[excerpt(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    cut = [number for number, name in enumerate(columns) if not name.startswith((">", "="))]
    _narrow(widths, cut, room=_console(out).width - GAP * (len(names) - 1))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for name, width, title in zip(names, widths, columns, strict=True):
        justify: Literal["left", "right"] = "right" if title.startswith(">") else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    _console(out).print(table)


def _narrow(widths: list[int], cut: Sequence[int], *, room: int) -> None:
    """Cut the widest of these columns until all fit into the room, or are as narrow as may be."""
    while cut and sum(widths) > room:
        widest = max(cut, key=widths.__getitem__)
        if widths[widest] <= LEAST_CHARS:
            return
        widths[widest] -= 1


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
