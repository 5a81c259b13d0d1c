"""A sub-command: its help, its arguments, and the function that runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn, TextIO

from django.core.management.base import CommandParser

from batches.management.bulk.usage import refuse

Options = Mapping[str, Any]


class SubcommandParser(CommandParser):
    """A parser that imports its sub-command only when it is chosen, since some imports take long.

    `module` is in this package, and has the sub-command under its name in capitals.
    """

    module = ""
    name = ""

    def error(self, message: str) -> NoReturn:
        refuse(self, message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        module = import_module(f"{__package__}.{self.module}")
        subcommand: Subcommand = getattr(module, self.name.upper())
        self.epilog = subcommand.epilog(self.name)
        subcommand.add_arguments(self)
        self.add_argument("--json", action="store_true", help="write JSON")
        self.set_defaults(run=subcommand.run)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Here, since only this parser knows the options that may have been meant.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


@dataclass(frozen=True, slots=True)
class Subcommand:
    """The function of a sub-command; `examples` are its arguments, shown in its help."""

    run: Callable[[Options, TextIO], None]
    examples: tuple[str, ...]
    add_arguments: Callable[[CommandParser], None] = lambda _parser: None

    def epilog(self, name: str) -> str:
        """Return the end of the help, with the examples."""
        lines = [f"  python manage.py batches {name} {example}" for example in self.examples]
        return "\n".join(["examples:", *map(str.rstrip, lines)])


def add_id(parser: CommandParser) -> None:
    """Add the argument for the ID of a batch."""
    help_ = "ID of the batch, its beginning if no other ID begins like that, or the batch's name"
    parser.add_argument("id", metavar="ID", help=help_)
