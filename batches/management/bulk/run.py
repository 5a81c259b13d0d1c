"""Run a batch in this process until it ends, pauses or is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.interrupts import handled_by, leave
from batches.management.bulk.usage import EXIT_USAGE, in_flags
from batches.models import Batch
from batches.runner.run import SliceLimits, run_slice
from batches.stop_signal import StopSignal

SECONDS_BETWEEN_CLAIMS = 1.0
# A user waits for this command, and can free the space. A worker has the time to wait for it.
LIMITS = SliceLimits(full_disk_s=2.0)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run: status 0 if its batch has ended, else the reason."""

    status: int = 0
    reason: str = ""


def run(batch: Batch, display: ProgressDisplay, hint: str) -> RunEnd:
    """Run a batch until it ends, pauses or is stopped; on a second signal, print the hint."""
    stop = StopSignal()
    waiting = False
    with stopped_by_signals(stop, display, hint) as received:
        while True:
            batch.refresh_from_db()
            display.begin(batch)
            report = run_slice(batch.pk, stop=stop, on_progress=display.update, limits=LIMITS)
            if report.ended:
                return RunEnd()
            if report.pause_reason:
                return RunEnd(EXIT_USAGE, f"Paused: {in_flags(report.pause_reason)}")
            if report.opened_gate:
                display.say("The rules of the pilot hold: going on with the other prompts.")
                continue
            if stop.requested:
                return RunEnd(128 + received[0], "Stopped.")
            if report.has_more:
                display.say("A prompt failed: sending the prompts that are equal to it.")
                continue
            if not waiting:
                display.say("Waiting for chunks that another run still processes ...")
            waiting = True
            stop.wait(SECONDS_BETWEEN_CLAIMS)


@contextmanager
def stopped_by_signals(
    stop: StopSignal, display: ProgressDisplay, hint: str
) -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into a stop request while the block runs; yield the received signals.

    A second signal ends the process immediately and prints the hint.
    """
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if received:
            # Calls in flight are lost; stored results are not.
            leave(f"Stopped immediately. {hint}", number)
        received.append(number)
        display.say(
            "Stopping: finishing and storing calls in flight. "
            "Press Ctrl-C again to stop immediately."
        )
        stop.request()

    with handled_by(handle):
        yield received
