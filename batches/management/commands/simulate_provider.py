"""manage.py simulate_provider: the simulated provider, as `python -m simulator` runs it."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)

from simulator.command import EPILOG, HELP, Refused, add_options, run


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keep the lines of the examples."""


class Command(BaseCommand):
    help = HELP
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {
            "usage": "%(prog)s [options]",
            "formatter_class": HelpFormatter,
            "epilog": EPILOG,
        }
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        add_options(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            run(options)
        except Refused as error:
            raise CommandError(str(error), returncode=2) from error
