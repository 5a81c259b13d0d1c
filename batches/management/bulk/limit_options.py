"""The options of the bulk command that say how fast it may call, and what it may spend."""

import argparse
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from batches.management.bulk.usage import whole_number

MOST = 10**15
MOST_DOLLARS = Decimal(10_000_000)
LEAST_DOLLARS = Decimal("0.000001")

# What the provider's row calls them.
RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
BUDGETS = ("max_cost", "max_tokens_total")


def add_limit_options(parser: CommandParser) -> None:
    """Have a parser know these options; one that is not given is None."""
    add = parser.add_argument
    shared = "of --base-url, kept to by all who call it; without, what it announces or puts up with"
    add("--rpm", type=whole_number(1, MOST), metavar="N", help=f"requests per minute {shared}")
    add("--tpm", type=whole_number(1, MOST), metavar="N", help=f"tokens per minute {shared}")
    add(
        "--max-cost",
        type=dollars,
        metavar="DOLLARS",
        help="pause before more is spent, but for the calls in flight then",
    )
    add(
        "--max-tokens-total",
        type=whole_number(1, MOST),
        metavar="N",
        help="the same in tokens, in and out",
    )


def dollars(text: str) -> Decimal:
    try:
        value = Decimal(text).quantize(LEAST_DOLLARS)
        # A NaN compares with nothing.
        fits = LEAST_DOLLARS <= value <= MOST_DOLLARS
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of dollars") from None
    if not fits:
        raise argparse.ArgumentTypeError(f"{text} is not from {LEAST_DOLLARS} to {MOST_DOLLARS}")
    return value


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
