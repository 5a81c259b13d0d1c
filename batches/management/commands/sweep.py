"""Ring for batches that wait, and end those that are over."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection

from batches.stop_signal import StopSignal
from batches.tasks import ring
from batches.workers.sweeper import sweep


class Command(BaseCommand):
    help = (
        "Ring for batches that wait, end those that are over, purge those that were deleted. "
        "Needed where neither beat nor `serve` runs; any number of sweepers at once is safe."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        every = settings.SWEEP_SECONDS
        parser.add_argument("--loop", action="store_true", help="go on until stopped")
        parser.add_argument(
            "--every",
            type=float,
            default=every,
            metavar="S",
            help=f"seconds between two sweeps of a loop (SWEEP_SECONDS, {every})",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["loop"]:
            report = sweep(ring)
            self.stdout.write(
                f"rang {report.rung} times, ended {report.ended}, "
                f"failed {report.failed}, purged {report.purged}"
            )
            return
        stop = StopSignal()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.request())
        while not stop.requested:
            self.sweep_once()
            stop.wait(options["every"])

    def sweep_once(self) -> None:
        try:
            sweep(ring)
        except OperationalError as error:
            # The database is away; the next sweep may find it.
            self.stderr.write(f"Could not sweep: {error}")
            connection.close()
