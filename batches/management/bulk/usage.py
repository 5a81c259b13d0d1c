"""Types, help and errors of command-line options; a usage error exits with 2."""

import argparse
from collections.abc import Callable

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from batches.actions.options import RUN_OPTIONS, Option

EXIT_USAGE = 2


class UsageError(CommandError):
    """A usage error or an unmet precondition; exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


# Django prints the name of the class in front of the message.
UsageError.__name__ = "error"


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show a command's own options before Django's; keep the line breaks of the epilog."""


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return an argparse type for a whole number within these bounds."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be between {least} and {most}")
        return value

    return number


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


def phrase(sentence: str) -> str:
    """Return a sentence without capital and full stop, in the style of command help."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")


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
