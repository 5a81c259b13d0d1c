"""Options of the bulk command for rate limits and spending limits."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from batches.management.bulk.usage import add_run_option, whole_number

MOST = 10**15

# Options and the columns of the provider that store them.
RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
BUDGETS = ("max_cost", "max_tokens_total")


def add_limit_options(parser: CommandParser) -> None:
    """Add these options to a parser; an option that is not given is None."""
    add = parser.add_argument
    shared = (
        "shared by all workers that call --base-url (default: follow the provider's rate-limit "
        "headers, else limits learned from 429s)"
    )
    add("--rpm", type=whole_number(1, MOST), metavar="N", help=f"requests per minute, {shared}")
    add("--tpm", type=whole_number(1, MOST), metavar="N", help=f"tokens per minute, {shared}")
    add_budget_options(parser)


def add_budget_options(parser: CommandParser) -> None:
    """Add the spending limits to a parser; an option that is not given is None."""
    add_run_option(parser, "--max-cost", "max_cost", "DOLLARS")
    add_run_option(parser, "--max-tokens-total", "max_tokens_total", "N")


def rates(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the given rate limits by the names of the provider's columns."""
    return {column: options[name] for name, column in RATES.items() if options[name] is not None}


def in_flags(message: str) -> str:
    """Replace the names of spending limits in a message by the flags of this command."""
    for name in BUDGETS:
        message = message.replace(name, f"--{name.replace('_', '-')}")
    return message


def budget(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given spending limits."""
    return {name: options[name] for name in BUDGETS if options[name] is not None}
