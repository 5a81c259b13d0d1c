#!/usr/bin/env python
"""Django's command line."""

import os
import sys

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    try:
        run()
    except KeyboardInterrupt:
        # Before a command, or after it, there is nothing to say of what is stored.
        sys.exit(EXIT_INTERRUPTED)


def run() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - imported only where it is needed, since it takes long
        from django.core.management import execute_from_command_line  # noqa: PLC0415 - imported only where it is needed, since it takes long
    except ImportError as error:
        sys.exit(f"{error}. Run `make install`, then use .venv/bin/python.")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
