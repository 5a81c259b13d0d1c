"""`batches cancel`, `retry`, `resume` and `delete`."""

import sys
from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions import batches as batch_actions
from batches.actions.finding import find_batch
from batches.engine.errors import FailureKind
from batches.leases.state import PAUSED, current_state
from batches.management.bulk.limit_options import add_budget_options, budget
from batches.management.bulk.next_steps import own_output
from batches.management.bulk.pilot_options import add_stop_option
from batches.management.bulk.usage import UsageError
from batches.management.pasting import command_line
from batches.management.subcommands.batch_rows import write_state
from batches.management.subcommands.subcommand import Options, Subcommand, add_id
from batches.management.subcommands.tables import write_json
from batches.models import Batch

KINDS = sorted(map(str, FailureKind))


def cancel(options: Options, out: TextIO) -> None:
    batch = batch_actions.cancel_batch(find_batch(options["id"]))
    write_state(out, batch, as_json=options["json"])


def add_retry_arguments(parser: CommandParser) -> None:
    add_id(parser)
    parser.add_argument(
        "--kind",
        action="append",
        choices=KINDS,
        default=[],
        metavar="KIND",
        help=f"only prompts that failed in this way; may be repeated: {', '.join(KINDS)}",
    )


def retry(options: Options, out: TextIO) -> None:
    batch = batch_actions.retry_batch(find_batch(options["id"]), kinds=options["kind"])
    _write_handed_over(out, batch, options)


def add_resume_arguments(parser: CommandParser) -> None:
    add_id(parser)
    add_budget_options(parser)
    add_stop_option(parser)


def resume(options: Options, out: TextIO) -> None:
    given = {**budget(options), "stop_when": options["stop_when"]}
    batch = batch_actions.resume_batch(find_batch(options["id"]), **given)
    _write_handed_over(out, batch, options)


def _write_handed_over(out: TextIO, batch: Batch, options: Options) -> None:
    """Write the state of a batch that the workers run from now on."""
    write_state(out, batch, as_json=options["json"])
    if not options["json"]:
        here = command_line("process_batch", "--resume", batch.public_id, *own_output(batch))
        # The workers leave a paused provider alone, until it is probed or resumed.
        if current_state(batch).word == PAUSED:
            lead = "To continue it here" if batch.pause_reason else "To try its provider again here"
        else:
            lead = "The workers run it. To run it here instead"
        out.write(f"{lead}: {here}\n")


def add_delete_arguments(parser: CommandParser) -> None:
    add_id(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask before deleting")


def delete(options: Options, out: TextIO) -> None:
    batch = find_batch(options["id"])
    if not options["yes"] and not _is_confirmed(batch):
        raise UsageError(f"{batch.public_id} was not deleted; --yes deletes it without asking")
    batch_actions.delete_batch(batch)
    if options["json"]:
        write_json(out, {"batch_id": batch.public_id, "deleted": True})
    else:
        out.write(f"{batch.public_id}: deleted\n")


def _is_confirmed(batch: Batch) -> bool:
    """Ask on the terminal; without one, return False."""
    if not sys.stdin.isatty():
        return False
    done = batch.succeeded + batch.failed
    question = f"Delete {batch.public_id} with {done:,} results? This cannot be undone. [y/N] "
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


CANCEL = Subcommand(cancel, ("1a2b",), add_id)
RETRY = Subcommand(retry, ("1a2b", "1a2b --kind timeout --kind server"), add_retry_arguments)
RESUME = Subcommand(resume, ("1a2b", "1a2b --max-cost 50"), add_resume_arguments)
DELETE = Subcommand(delete, ("1a2b", "1a2b --yes"), add_delete_arguments)
