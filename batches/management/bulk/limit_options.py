"""Options of the bulk command for rate limits and spending limits."""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from batches.limits.prices import MAX_PRICE
from batches.management.bulk.run_options import add_run_option
from batches.management.bulk.usage import BUDGETS, whole_number

MOST = 10**15

# Options and the columns of the provider that store them.
RATES = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}


def add_limit_options(parser: CommandParser) -> None:
    """Add these options to a parser; an option that is not given is None."""
    add = parser.add_argument
    shared = (
        "shared by all workers that call --base-url (default: follow the provider's rate-limit "
        "headers, else limits learned from 429s)"
    )
    add("--rpm", type=whole_number(1, MOST), metavar="N", help=f"requests per minute, {shared}")
    add("--tpm", type=whole_number(1, MOST), metavar="N", help=f"tokens per minute, {shared}")
    add(
        "--price",
        type=price,
        metavar="IN,OUT",
        help="price of --model at --base-url, in USD per million tokens in and out, such as "
        "0.5,1.5; kept for later batches there (default: the kept price, else the published one)",
    )
    add_budget_options(parser)


def price(text: str) -> tuple[float, float]:
    """Return a price in and out. Raises ArgumentTypeError for anything else."""
    try:
        given, made = map(float, text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not two numbers, such as 0.5,1.5") from None
    if not (0 <= given <= MAX_PRICE and 0 <= made <= MAX_PRICE):
        raise ArgumentTypeError(f"a price must be between 0 and {MAX_PRICE:,f}")
    return given, made


def add_budget_options(parser: CommandParser) -> None:
    """Add the spending limits to a parser; an option that is not given is None."""
    add_run_option(parser, "--max-cost", "max_cost", "DOLLARS")
    add_run_option(parser, "--max-tokens-total", "max_tokens_total", "N")


def rates(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the given rate limits by the names of the provider's columns."""
    return {column: options[name] for name, column in RATES.items() if options[name] is not None}


def budget(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given spending limits."""
    return {name: options[name] for name in BUDGETS if options[name] is not None}
