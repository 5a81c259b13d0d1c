"""manage.py work: run batches in threads, from the database alone."""

import os
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandParser

from batches.conf import conf
from batches.database import connection
from batches.management.bulk.interrupts import handled_by, leave
from batches.management.bulk.usage import UsageCommand, whole_number
from batches.management.database import check_database
from batches.runner.polling import PollingWorker
from batches.runner.tuning import tune_process
from batches.stop_signal import StopSignal
from batches.workers.heartbeats import Heartbeat, worker_name

THREADS = 32
MOST_THREADS = 1000

EPILOG = """\
It finds its work in the database: no broker, no Celery and no other process is needed. It also
ends, expires and purges batches and delivers webhooks. Start as many as you like, on as many
machines as you like; set DOORBELL=none in the web server if nothing else runs batches.

  manage.py work                      a worker, for systemd, supervisord or a container
  manage.py work --threads 4          at most 4 batches at the same time
  manage.py work --until-idle         run what there is, then end: for cron or a script

SIGTERM or Ctrl-C: send nothing more, give calls in flight GRACE_SECONDS to end, store their
answers, release the rest, and end. A second signal ends it at once; like after a kill, other
workers take over after LEASE_SECONDS, and calls that were in flight are repeated.

exit status: 0 after a first signal or when it is idle, 2 if the database cannot be used, 130 or
143 after a second signal.
"""


class Command(UsageCommand):
    help = "Run the batches of all users in this process, without Celery or a broker."
    epilog = EPILOG

    # They load every page of the server.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads",
            type=whole_number(1, MOST_THREADS),
            default=THREADS,
            metavar="N",
            help=f"how many batches to run at the same time (default {THREADS})",
        )
        parser.add_argument(
            "--name",
            help="name of this worker in the admin (default work-PID@HOST); each needs its own",
        )
        parser.add_argument(
            "--until-idle", action="store_true", help="end when there is nothing left to run"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        check_database()
        # The check has opened it; the worker opens it again when it polls.
        connection.close()
        stop = StopSignal()
        worker = PollingWorker(
            threads=options["threads"], stop=stop, until_idle=options["until_idle"]
        )
        heartbeat = Heartbeat(options["name"] or worker_name(f"work-{os.getpid()}"))
        tune_process()
        heartbeat.start()
        self._say(f"Running batches in {options['threads']} threads. Stop with Ctrl-C or SIGTERM.")
        try:
            with handled_by(lambda number, _frame: self._stop(stop, number)):
                worker.run()
        finally:
            heartbeat.stop()
            connection.close()
        self._say("Stopped." if stop.requested else "Idle: there is nothing left to run.")

    def _say(self, line: str) -> None:
        # A worker works on when the reader of its output is gone.
        with suppress(OSError):
            self.stdout.write(line)
            self.stdout.flush()

    def _stop(self, stop: StopSignal, number: int) -> None:
        """Request a stop, from a signal handler; end at once if one was requested before."""
        if stop.requested:
            leave("Stopped at once; other workers take over what was in flight.", number)
        stop.request()
        # Not print(): the interrupted code may hold the lock of the stream.
        grace_s = conf().GRACE_SECONDS
        with suppress(OSError):
            os.write(2, f"Stopping: calls in flight have {grace_s} s to end.\n".encode())
