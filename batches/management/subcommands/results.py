"""`batches results`: write the results of a batch so far."""

import sys
from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions.finding import find_batch
from batches.extras import require
from batches.management.bulk.output import (
    OUTPUT_FORMATS,
    check_outputs,
    write_outputs,
    written_to,
)
from batches.management.bulk.usage import UsageError
from batches.management.pipes import STANDARD_OUTPUT
from batches.management.subcommands.subcommand import Options, Subcommand, add_id

PARQUET = "parquet"
TABLES = ("csv", PARQUET)


def add_arguments(parser: CommandParser) -> None:
    add_id(parser)
    add = parser.add_argument
    add(
        "--format",
        choices=OUTPUT_FORMATS,
        help="default: csv or parquet by the ending of the file, else jsonl",
    )
    add("--output", default=STANDARD_OUTPUT, help="file for the results (default standard output)")
    add("--errors", help="separate file for the failed prompts")
    add("--overwrite", action="store_true", help="replace files that exist already")


def run(options: Options, _out: TextIO) -> None:
    """Write the stored results in the order of the input; a file appears complete or not at all."""
    form = options["format"]
    if form in TABLES and options["json"]:
        raise UsageError(f"--format {form} cannot be combined with --json")
    if form == PARQUET and options["output"] == STANDARD_OUTPUT and sys.stdout.isatty():
        raise UsageError("--format parquet is not text: name a file with --output")
    if form == PARQUET:
        require("tables", "Parquet")
    check_outputs(options)
    batch = find_batch(options["id"])
    names = [options[name] for name in ("output", "errors") if options[name]]
    with written_to(names):
        write_outputs(batch, options["output"], options["errors"], form=form)


RESULTS = Subcommand(
    run,
    ("1a2b --output results.jsonl", "1a2b --format csv --output results.csv", "1a2b | head"),
    add_arguments,
)
