"""`batches results`: write the results of a batch so far."""

from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions.finding import find_batch
from batches.management.bulk.output import (
    check_outputs,
    write_outputs,
    written_to,
)
from batches.management.bulk.usage import UsageError
from batches.management.pipes import STANDARD_OUTPUT
from batches.management.subcommands.subcommand import Options, Subcommand, add_id

JSONL, CSV = "jsonl", "csv"


def add_arguments(parser: CommandParser) -> None:
    add_id(parser)
    add = parser.add_argument
    add(
        "--format",
        choices=(JSONL, CSV),
        help=f"default: {CSV} by the ending of the file, else {JSONL}",
    )
    add("--output", default=STANDARD_OUTPUT, help="file for the results (default standard output)")
    add("--errors", help="separate file for the failed prompts")
    add("--overwrite", action="store_true", help="replace files that exist already")


def run(options: Options, _out: TextIO) -> None:
    """Write the stored results in the order of the input; a file appears complete or not at all."""
    as_csv = options["format"] == CSV
    if as_csv and options["json"]:
        raise UsageError("--format csv cannot be combined with --json")
    check_outputs(options)
    batch = find_batch(options["id"])
    names = [options[name] for name in ("output", "errors") if options[name]]
    with written_to(names):
        write_outputs(batch, options["output"], options["errors"], as_csv=as_csv)


RESULTS = Subcommand(
    run,
    ("1a2b --output results.jsonl", "1a2b --format csv --output results.csv", "1a2b | head"),
    add_arguments,
)
