"""Options of the bulk command for a pilot and for rules."""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from batches.actions.options import MAX_GROUPED_ROWS, MAX_PILOT_ROWS, Pilot
from batches.limits.rules import EXAMPLE, LEAST_OUTCOMES, Rules, rules_in
from batches.management.bulk.usage import UsageError, whole_number

# Take the rules of a batch away.
NO_RULES = "none"
PILOT_OPTIONS = ("pilot", "pilot_by", "continue_when", "yes")


def add_pilot_options(parser: CommandParser) -> None:
    """Add these options to a parser; an option that is not given is None."""
    add = parser.add_argument
    add(
        "--pilot",
        type=whole_number(1, MAX_PILOT_ROWS),
        metavar="N",
        help="run N prompts first, evenly spread over the input; then pause with a report on them "
        "and the likely cost of the whole",
    )
    add(
        "--pilot-by",
        metavar="COLUMN",
        help="with --template: choose these rows so that each value in this column of the table is "
        "among them, in about their proportions",
    )
    add(
        "--continue-when",
        type=rules,
        metavar="RULES",
        help=f"after the pilot, go on without a pause if all these rules hold, such as {EXAMPLE}",
    )
    add("--yes", action="store_true", default=None, help="after the pilot, go on without a pause")


def add_stop_option(parser: CommandParser) -> None:
    """Add the rules for a running batch to a parser; if they are not given, None."""
    parser.add_argument(
        "--stop-when",
        type=stop_rules,
        metavar="RULES",
        help=f"pause when one of these rules is broken, from {LEAST_OUTCOMES} outcomes on, such as "
        f"{EXAMPLE}; none takes the rules away",
    )


def stop_rules(text: str) -> Rules:
    """Return the rules in an argument; no rules for "none". Raises ArgumentTypeError."""
    return Rules() if text == NO_RULES else rules(text)


def rules(text: str) -> Rules:
    """Return the rules in an argument. Raises ArgumentTypeError."""
    try:
        return rules_in(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def check_pilot_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError for options that need a pilot, or another option, to have a meaning."""
    flags = {"--continue-when": options["continue_when"], "--yes": options["yes"]}
    given = [flag for flag, value in flags.items() if value is not None]
    by, rows = options["pilot_by"], options["pilot"]
    needing = [*given, *(["--pilot-by"] if by is not None else [])]
    if needing and rows is None:
        raise UsageError(f"{needing[0]} requires --pilot N, the number of prompts to run first")
    if by is not None and not options["template"]:
        raise UsageError("--pilot-by requires --template: only rows of a table have columns")
    if by is not None and rows > MAX_GROUPED_ROWS:
        raise UsageError(f"--pilot-by allows --pilot up to {MAX_GROUPED_ROWS}")
    if len(given) > 1:
        raise UsageError("--continue-when and --yes cannot be combined; --yes needs no rules")


def pilot_of(options: Mapping[str, Any]) -> Pilot | None:
    """Return the pilot that the options ask for."""
    if options["pilot"] is None:
        return None
    continue_when = Rules() if options["yes"] else options["continue_when"]
    return Pilot(rows=options["pilot"], by=options["pilot_by"], continue_when=continue_when)
