"""Options of the bulk command for answers with a schema: extraction, repair, re-asking, stronger
models."""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from batches.actions.options import RUN_OPTIONS
from batches.engine.records import USUAL_KINDS
from batches.inputs.input_formats import ASSUMED_ENCODING, FIRST_SHEET, FORMULA_CELLS
from batches.limits.escalation import MAX_STEPS, Escalation, escalation_in
from batches.management.bulk.run_options import add_run_option
from batches.management.bulk.usage import UsageError, phrase

ANSWER_OPTIONS = (
    "response_schema",
    "strict_schema",
    "max_repair_attempts",
    "no_extract",
    "no_repair",
    "escalate",
)


def add_answer_options(parser: CommandParser) -> None:
    """Add these options to a parser; an option that is not given is None."""
    add = parser.add_argument
    add("--response-schema", metavar="FILE", help="file with a JSON Schema for every answer")
    strict = RUN_OPTIONS["strict_schemas"].help
    add("--strict-schema", action="store_true", default=None, help=phrase(strict))
    add_run_option(parser, "--max-repair-attempts", "max_repair_attempts", "N")
    add(
        "--no-extract",
        action="store_true",
        default=None,
        help="do not accept JSON that stands between fences or in prose",
    )
    add(
        "--no-repair",
        action="store_true",
        default=None,
        help="do not repair the syntax of JSON in answers",
    )
    add(
        "--escalate",
        action="append",
        type=escalation,
        metavar="MODEL[:KINDS]",
        help="ask this model if the answer of the model before fails in one of these kinds "
        f"(default {','.join(USUAL_KINDS)}; also filtered and empty); "
        f"repeat it for up to {MAX_STEPS} models, one above the other",
    )


def escalation(text: str) -> Escalation:
    """Return the stronger model in an argument. Raises ArgumentTypeError."""
    try:
        return escalation_in(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def answer_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the chosen values by the names of the batch's options; None if not given."""
    return {
        "max_repair_attempts": options["max_repair_attempts"],
        "strict_schemas": options["strict_schema"],
        "extract_json": not options["no_extract"],
        "repair_json": not options["no_repair"],
        "escalate": options["escalate"],
    }


def check_answer_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError for more stronger models than a batch may have."""
    if len(options["escalate"] or ()) > MAX_STEPS:
        raise UsageError(f"--escalate can be given up to {MAX_STEPS} times; leave some models out")


def warning_text(warning: Mapping[str, Any], *, strict_schemas: bool) -> str:
    """Return a warning of a batch in one line, with the remedy if there is one."""
    if not warning["param"] or warning["code"] in (ASSUMED_ENCODING, FIRST_SHEET):
        return f"Warning: {warning['message']}"
    if warning["code"] == FORMULA_CELLS:
        return f"Warning: row {warning['line']}: {warning['message']}"
    line = f"line {warning['line']}: " if warning["line"] else ""
    text = f"Warning: {line}{warning['param']}: {warning['message']} ({warning['code']})"
    if strict_schemas:
        return f"{text}."
    return f"{text}; the provider may reject it. --strict-schema sends a form that it accepts."
