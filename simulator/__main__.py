"""Run the simulated provider: python -m simulator --help."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter

from simulator.command import EPILOG, HELP, Refused, add_options, run

EXIT_USAGE = 2


def main() -> None:
    """Serve until a signal comes; exit with status 2 if an option cannot be used."""
    parser = ArgumentParser(
        "python -m simulator",
        "%(prog)s [options]",
        HELP,
        EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_options(parser)
    try:
        run(vars(parser.parse_args()))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the message of a command
        sys.exit(EXIT_USAGE)


main()
