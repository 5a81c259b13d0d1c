"""`batches results`: write the results of a batch so far."""

from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions.finding import find_batch
from batches.management.bulk.output import (
    STANDARD_OUTPUT,
    check_outputs,
    opened_output,
    write_outputs,
    written_to,
)
from batches.management.bulk.usage import UsageError
from batches.management.subcommands.subcommand import Options, Subcommand, add_id
from batches.models import Batch
from batches.output.csv import csv_lines

JSONL, CSV = "jsonl", "csv"


def add_arguments(parser: CommandParser) -> None:
    add_id(parser)
    add = parser.add_argument
    add("--format", choices=(JSONL, CSV), help=f"default {JSONL}, in the OpenAI output format")
    add("--output", default=STANDARD_OUTPUT, help="file for the results (default standard output)")
    add("--errors", help="separate file for the failed prompts, with jsonl")


def run(options: Options, _out: TextIO) -> None:
    """Write the stored results in the order of the input; a file appears complete or not at all."""
    as_csv = options["format"] == CSV
    if as_csv and (options["json"] or options["errors"]):
        raise UsageError("--format csv cannot be combined with --json or --errors")
    check_outputs(options)
    batch = find_batch(options["id"])
    names = [options[name] for name in ("output", "errors") if options[name]]
    with written_to(names):
        if as_csv:
            _write_csv(batch, options["output"])
        else:
            write_outputs(batch, options["output"], options["errors"])


def _write_csv(batch: Batch, name: str) -> None:
    with opened_output(name) as file:
        for line in csv_lines(batch):
            file.write(line.decode())


RESULTS = Subcommand(
    run,
    ("1a2b --output results.jsonl", "1a2b --format csv --output results.csv", "1a2b | head"),
    add_arguments,
)
