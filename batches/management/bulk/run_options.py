"""Options of the bulk command that are options of its batch, with the bounds that these have."""

import argparse
from collections.abc import Callable

from django.core.management.base import CommandParser

from batches.actions.options import RUN_OPTIONS, Option
from batches.management.bulk.usage import phrase, whole_number


def add_run_option(parser: CommandParser, flag: str, name: str, metavar: str) -> None:
    """Add a run option of a batch to a parser; an option that is not given is None."""
    option = RUN_OPTIONS[name]
    default = "" if option.default is None else f" (default {option.default:g})"
    is_whole = isinstance(option.default, int) or name == "max_tokens_total"
    parser.add_argument(
        flag,
        type=_whole_option(option) if is_whole else _decimal_option(option),
        metavar=metavar,
        help=phrase(option.help) + default,
    )


def add_choice(parser: CommandParser, flag: str, name: str) -> None:
    """Add a run option with a few values; an option that is not given is None."""
    option = RUN_OPTIONS[name]
    help_ = f"{option.help.removesuffix('.')} (default {option.default})"
    parser.add_argument(flag, choices=option.choices, help=help_)


def _whole_option(option: Option) -> Callable[[str], int]:
    return whole_number(int(option.least or 0), int(option.most or 0))


def _decimal_option(option: Option) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        # Written so that NaN is refused too: any comparison with it is False.
        if option.above is not None and not value > option.above:
            raise argparse.ArgumentTypeError(f"must be greater than {option.above:g}")
        if not (option.least or value) <= value <= (option.most or value):
            least = option.above if option.least is None else option.least
            raise argparse.ArgumentTypeError(f"must be between {least:.7g} and {option.most:.7g}")
        return value

    return number
