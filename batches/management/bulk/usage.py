"""How a command may be called: what it takes, and that anything else exits with 2."""

import argparse
from collections.abc import Callable

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from batches.actions.options import RUN_OPTIONS, Option

EXIT_USAGE = 2


class UsageError(CommandError):
    """A usage error, or something that has to be there first; exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


# Django prints it in front of the message.
UsageError.__name__ = "error"


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """A command's own options before those of all commands; its epilog as it stands."""


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an option that takes a whole number within these bounds."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be between {least} and {most}")
        return value

    return number


def add_run_option(parser: CommandParser, flag: str, name: str, metavar: str) -> None:
    """Have a parser know a run option of a batch; it is None if it is not given."""
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
    """Return a sentence as the help of a command has it: without capital and full stop."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")


def _whole_option(option: Option) -> Callable[[str], int]:
    return whole_number(int(option.least or 0), int(option.most or 0))


def _decimal_option(option: Option) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        # A NaN compares with nothing.
        if option.above is not None and not value > option.above:
            raise argparse.ArgumentTypeError(f"must be greater than {option.above:g}")
        if not (option.least or value) <= value <= (option.most or value):
            least = option.above if option.least is None else option.least
            raise argparse.ArgumentTypeError(f"must be between {least:.7g} and {option.most:.7g}")
        return value

    return number
