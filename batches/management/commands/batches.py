"""manage.py batches: list, show and change batches, and write their results."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from batches.errors import NotPossible
from batches.management.bulk.interrupts import Interrupted, interruptible
from batches.management.bulk.usage import HelpFormatter, UsageCommand, UsageError, in_flags
from batches.management.database import check_database
from batches.management.pipes import ended_by_reader
from batches.management.subcommands.subcommand import SubcommandParser

# The help of each sub-command, and the module that has it.
SUBCOMMANDS = {
    "list": ("listing", "List batches, newest first."),
    "show": ("showing", "Show a batch: figures, failures, and what can be done with it."),
    "results": ("results", "Write the results of a batch so far, in input order."),
    "compare": ("comparing", "Compare the answers of 2 to 4 batches to the same rows."),
    "cancel": ("changing", "Cancel a batch: calls in flight finish, and results stay."),
    "retry": ("changing", "Let the workers run again what failed or never ran in an ended batch."),
    "resume": ("changing", "Let the workers continue a batch that is paused or stopped."),
    "delete": ("changing", "Delete a batch that has ended, with its prompts and results."),
    "providers": ("providers", "List the providers, with their limits and why they are paused."),
    "usage": ("usage", "Sum up calls, tokens and cost by provider and model."),
}

EPILOG = """\
examples:
  python manage.py batches list
  python manage.py batches show 1a2b
  python manage.py batches results 1a2b --format csv --output results.csv
  python manage.py batches compare 1a2b 3c4d --truth sentiment=label
  python manage.py batches retry 1a2b --kind timeout
  python manage.py batches retry --help

An ID may be shortened as long as it is unique, with or without batch_ in front. The whole name of a
batch is taken too.
Every sub-command takes --json. New batches: python manage.py process_batch --help

exit status: 0, or 2 if what was asked is not possible; 130 and 143 if stopped by Ctrl-C or SIGTERM,
141 if the reader closed the output pipe.
"""


class Command(UsageCommand):
    help = "List, show and change batches, and write their results."
    epilog = EPILOG
    takes_ids = True
    # They load every page of the server.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(metavar="SUB-COMMAND", parser_class=SubcommandParser)
        for name, (module, help_) in SUBCOMMANDS.items():
            own = parsers.add_parser(
                name, help=help_, description=help_, formatter_class=HelpFormatter
            )
            own.module, own.name = module, name

    def handle(self, *_args: Any, **options: Any) -> None:
        if "run" not in options:
            raise UsageError(f"give a sub-command: {', '.join(SUBCOMMANDS)}; each has --help")
        try:
            with interruptible(), ended_by_reader():
                check_database()
                options["run"](options, sys.stdout)
                sys.stdout.flush()
        except NotPossible as error:
            raise UsageError(in_flags(str(error))) from error
        except Interrupted as interrupt:
            sys.exit(interrupt.status)
