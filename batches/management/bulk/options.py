"""Options of the bulk command."""

import os
import re
from argparse import ArgumentTypeError

from django.core.management.base import CommandParser

from batches.engine.endpoints import CHAT, ENDPOINTS, check_path, endpoint_of
from batches.inputs.input_formats import INPUT_FORMATS
from batches.management.bulk.answer_options import add_answer_options
from batches.management.bulk.limit_options import add_limit_options
from batches.management.bulk.pilot_options import add_pilot_options, add_stop_option
from batches.management.bulk.run_options import add_choice, add_run_option

RESUME_HELP = (
    "continue a batch that was stopped or paused; combine with --output and optionally --errors, "
    "--max-cost, --max-tokens-total, --stop-when, --json and --quiet. The batch keeps all its "
    "other options"
)
RETRY_HELP = (
    "run again the prompts of a batch that failed, or that never ran because it was cancelled or "
    "expired. Successful results are kept and written too. Takes the same options as --resume"
)


def add_bulk_options(parser: CommandParser) -> None:
    """Add the options of the bulk command to a parser; an option that is not given is None."""
    add = parser.add_argument
    add("input", nargs="?", help="file of prompts, or - for standard input")
    add(
        "--output",
        help="(required) file for the results (.csv, .parquet: a table), or - for standard output",
    )
    add("--errors", help="separate file for the failed prompts")
    add("--overwrite", action="store_true", help="replace files that exist already")
    add("--provider", help="name of a configured provider")
    add("--base-url", help="URL of any OpenAI-compatible endpoint, such as https://api.example/v1")
    add(
        "--api-key-env",
        type=variable,
        help="environment variable with the API key for --base-url; use --provider for a provider "
        "with a stored key",
    )
    add("--model", help="model of the prompts that do not name one")
    add("--system", metavar="TEXT", help="system prompt of every request")
    add(
        "--endpoint",
        type=endpoint,
        metavar="PATH",
        help="endpoint to call (default: the url in the first line of a JSONL file, or else "
        f"{CHAT}): {', '.join(ENDPOINTS[1:])}, or with --base-url any other path such as "
        "/v1/rerank, whose replies are stored as JSON",
    )
    add("--format", choices=INPUT_FORMATS, help="default: by the file name, else by the first line")
    add("--column", help="column with the prompts in a table (default prompt)")
    add(
        "--template",
        metavar="FILE",
        help="make a prompt of each row of a table by a template in the language of Jinja, such as "
        "'Rate: {{ review }}'; the columns of the table come back in the results",
    )
    add_run_option(parser, "--batch-size", "batch_size", "N")
    add_choice(parser, "--schedule", "schedule")
    add_choice(parser, "--order", "order")
    add_choice(parser, "--reuse", "reuse")
    add(
        "--since",
        metavar="BATCH_ID",
        help="send only what has changed since this batch, which has ended: use its answers to "
        "equal requests (implies --reuse owner), and list the prompts that are gone",
    )
    add_run_option(parser, "--max-attempts", "max_attempts", "N")
    add_run_option(parser, "--timeout", "timeout_s", "S")
    add_limit_options(parser)
    add_pilot_options(parser)
    add_stop_option(parser)
    add_answer_options(parser)
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", metavar="BATCH_ID", help=RESUME_HELP)
    earlier.add_argument("--retry", metavar="BATCH_ID", help=RETRY_HELP)
    add("--json", action="store_true", help="print the summary as JSON on standard output")
    add("--quiet", action="store_true", help="do not show progress or summary")


def endpoint(text: str) -> str:
    """Return the path of an endpoint. Raises ArgumentTypeError for an invalid path."""
    path = endpoint_of(text)
    try:
        check_path(path)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return path


def variable(name: str) -> str:
    """Return the name of a variable that is set, or written like one: a key is not echoed."""
    if name not in os.environ and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ArgumentTypeError(
            "give the name of an environment variable, not the key: "
            "export MY_KEY=..., then --api-key-env MY_KEY"
        )
    return name
