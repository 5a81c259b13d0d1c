"""manage.py sweep: notify workers of waiting batches, end expired ones, purge deleted ones."""

import signal
from typing import Any

from django.core.management.base import CommandParser
from django.db import OperationalError

from batches.conf import conf
from batches.database import connection
from batches.management.bulk.usage import UsageCommand
from batches.stop_signal import StopSignal
from batches.workers.messages import enqueue
from batches.workers.sweeper import sweep


class Command(UsageCommand):
    help = (
        "Notify workers of waiting batches, end batches that are over, and purge deleted batches. "
        "Needed if neither Celery beat nor `serve` runs; several sweepers at once are safe."
    )

    # They load every page of the server.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        every = conf().SWEEP_SECONDS
        parser.add_argument("--loop", action="store_true", help="repeat until stopped")
        parser.add_argument(
            "--every",
            type=float,
            default=every,
            metavar="S",
            help=f"seconds between sweeps with --loop (default: SWEEP_SECONDS, {every})",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["loop"]:
            report = sweep(enqueue)
            self.stdout.write(
                f"notified workers {report.enqueued} times, ended {report.ended}, "
                f"purged {report.purged}"
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
            sweep(enqueue)
        except OperationalError as error:
            # The database is unavailable; the next sweep tries again.
            self.stderr.write(f"Could not sweep: {error}")
            connection.close()
