"""`batches list`: the newest batches."""

from typing import TextIO

from django.core.management.base import CommandParser

from batches.leases.state import STATES, in_states, with_state
from batches.management.bulk.usage import whole_number
from batches.management.subcommands.batch_rows import COLUMNS, NARROW_COLUMNS, object_of, row_of
from batches.management.subcommands.subcommand import Options, Subcommand
from batches.management.subcommands.tables import is_spacious, write_json, write_table
from batches.models import Batch

USUAL_ROWS = 20
MOST_ROWS = 100_000


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--status",
        action="append",
        choices=STATES,
        metavar="STATUS",
        help=f"only batches with this status; may be repeated: {', '.join(STATES)}",
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1, MOST_ROWS),
        default=USUAL_ROWS,
        metavar="N",
        help=f"number of batches (default {USUAL_ROWS})",
    )


def run(options: Options, out: TextIO) -> None:
    """Write the newest batches, in one query."""
    batches = with_state(Batch.objects.filter(deleted_at=None)).defer("defaults", "errors")
    if options["status"]:
        batches = in_states(batches, options["status"])
    limit = options["limit"]
    found = list(batches.order_by("-pk")[: limit + 1])
    shown = found[:limit]
    if options["json"]:
        write_json(out, [object_of(batch) for batch in shown])
        return
    if not shown:
        out.write("No batches match.\n" if options["status"] else "There are no batches yet.\n")
        return
    is_wide = is_spacious(out)
    columns = COLUMNS if is_wide else NARROW_COLUMNS
    rows = [row_of(batch, whole_id=is_wide)[: len(columns)] for batch in shown]
    write_table(out, columns, rows)
    if len(found) > limit < MOST_ROWS:
        more = min(10 * limit, MOST_ROWS)
        out.write(f"There are older batches; --limit {more} shows more.\n")


LIST = Subcommand(
    run, ("", "--status running --status paused", "--limit 1000 --json"), add_arguments
)
