"""The options of the bulk command that say how fast it may call, and what it may spend."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from batches.management.bulk.usage import add_run_option, whole_number

MOST = 10**15

# What the provider's row calls them.
RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
BUDGETS = ("max_cost", "max_tokens_total")


def add_limit_options(parser: CommandParser) -> None:
    """Have a parser know these options; one that is not given is None."""
    add = parser.add_argument
    shared = (
        "shared by all workers that call --base-url (default: the limit that the provider "
        "advertises, else learned from 429s)"
    )
    add("--rpm", type=whole_number(1, MOST), metavar="N", help=f"requests per minute, {shared}")
    add("--tpm", type=whole_number(1, MOST), metavar="N", help=f"tokens per minute, {shared}")
    add_run_option(parser, "--max-cost", "max_cost", "DOLLARS")
    add_run_option(parser, "--max-tokens-total", "max_tokens_total", "N")


def rates(options: Mapping[str, Any]) -> dict[str, int]:
    """The limits of the provider that were given, by the names of its columns."""
    return {column: options[name] for name, column in RATES.items() if options[name] is not None}


def in_flags(message: str) -> str:
    """A message that speaks of a budget, in the words of this command."""
    for name in BUDGETS:
        message = message.replace(name, f"--{name.replace('_', '-')}")
    return message


def budget(options: Mapping[str, Any]) -> dict[str, Any]:
    """The budget that was given."""
    return {name: options[name] for name in BUDGETS if options[name] is not None}
