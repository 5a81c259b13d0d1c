"""How a command may be called: what it takes, and that anything else exits with 2."""

import argparse
from collections.abc import Callable

from django.core.management.base import CommandError, DjangoHelpFormatter

EXIT_USAGE = 2
LONGEST_SECONDS = 1e6


class UsageError(CommandError):
    """A usage error, or something that has to be there first; exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


# Django prints it in front of the message.
UsageError.__name__ = "error"


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """A command's own options before those of all commands; its epilog as it stands."""


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number within these bounds."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    return number


def seconds(text: str) -> float:
    """The type of an option that takes a time."""
    value = float(text)
    if not 0 < value < LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return value
