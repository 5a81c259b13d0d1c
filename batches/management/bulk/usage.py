"""Types, help and errors of command-line options; a usage error exits with 2."""

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import DatabaseError, Error, InterfaceError, OperationalError

from batches.conf import conf
from batches.database import connection
from batches.engine.text.wording import did_you_mean, quoted
from batches.extras import ExtraMissing
from batches.management.pasted_keys import ADVICE, has_key
from batches.models.database_sessions import limit_process

EXIT_USAGE = 2
BUDGETS = ("max_cost", "max_tokens_total")
# Remedies by the words of SQLite.
_REMEDIES = {
    "full": "free some space on its disk, then try again: what is stored is kept",
    "readonly": "name a folder with DATA_DIR in which you may write",
    "unable to open": "name a folder with DATA_DIR in which you may write",
    "not a database": "name another folder with DATA_DIR, or restore a copy of this file",
    "malformed": "name another folder with DATA_DIR, or restore a copy of this file",
    "disk I/O error": "check its disk or mount",
}
# A choice that argparse refuses, and the choices that it offers.
_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")
_CHOSEN = re.compile(r"'(.*?)'")


class UsageError(CommandError):
    """A usage error or an unmet precondition; exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


# Django prints the name of the class in front of the message.
UsageError.__name__ = "error"


def is_unusable(error: Error) -> bool:
    """Return True for an error of the database itself: full, read-only, damaged or away."""
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def database_fault(error: Error) -> str:
    """Return why the database cannot be used, with the remedy if it is known."""
    name = connection.settings_dict["NAME"] if conf().EMBEDDED else "of DATABASE_URL"
    reason = " ".join(str(error).split())
    remedies = [remedy for words, remedy in _REMEDIES.items() if words in reason]
    return "; ".join([f"the database {name} cannot be used: {reason}", *remedies])


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show a command's own options before Django's; keep the line breaks of the epilog."""


class UsageCommand(BaseCommand):
    """A command whose usage errors are short, name a remedy, and never echo a key."""

    epilog = ""
    # True if arguments without an option are IDs of batches.
    takes_ids = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.update(epilog=self.epilog, formatter_class=HelpFormatter)
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.error = partial(refuse, parser)  # type: ignore[method-assign]  # Django makes it
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        # Raise the error of a wrong setting before anything is done.
        conf()
        try:
            return super().execute(*args, **options)
        except ExtraMissing as error:
            raise UsageError(str(error)) from error
        except Error as error:
            if not is_unusable(error):
                raise
            raise UsageError(database_fault(error)) from error
        except OSError as error:
            folder = conf().DATA_DIR
            if folder is None or not str(error.filename).startswith(str(folder)):
                raise
            raise UsageError(f"{error.filename} cannot be used: {error.strerror}") from error

    def run_from_argv(self, argv: list[str]) -> None:
        if has_key(argv[2:], takes_ids=self.takes_ids):
            self.stderr.write(f"error: {ADVICE}")
            sys.exit(EXIT_USAGE)
        limit_process()
        try:
            super().run_from_argv(argv)
        except ImproperlyConfigured as error:
            # A wrong setting, which the options may name already.
            self.stderr.write(f"error: {error}")
            sys.exit(EXIT_USAGE)


def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End the command with a usage error, which suggests the option that was meant."""
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown != message:
        # Values are left out: a value may be a secret.
        names = [word.partition("=")[0] for word in unknown.split() if word.startswith("-")]
        known = [flag for action in parser._actions for flag in action.option_strings]
        hints = [f"there is no option {name}.{did_you_mean(name, known)}" for name in names]
        message = " ".join(hints) or f"there is an argument too many: {quoted(unknown)}"
    elif choice := _CHOICE.search(message):
        message += did_you_mean(choice[1], _CHOSEN.findall(choice[2]))
    if not getattr(parser, "called_from_command_line", True):
        raise UsageError(message)
    parser.exit(EXIT_USAGE, f"error: {message}\nAll options: {parser.prog} --help\n")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return an argparse type for a whole number within these bounds."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be between {least} and {most}")
        return value

    return number


def phrase(sentence: str) -> str:
    """Return a sentence without capital and full stop, in the style of command help."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")


def in_flags(message: str, *, may_set_price: bool = False) -> str:
    """Replace the names of spending limits in a message by the flags of this command."""
    for name in BUDGETS:
        message = re.sub(rf"\b{name}\b", f"--{name.replace('_', '-')}", message)
    if may_set_price:
        message = message.replace("Set it there", "Give it with --price")
    return message
