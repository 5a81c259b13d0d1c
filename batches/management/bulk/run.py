"""Run a batch in this process until it ends, pauses or is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager

from batches.lifecycle import PauseKind
from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.interrupts import handled_by, leave
from batches.management.bulk.limit_options import in_flags
from batches.management.bulk.usage import EXIT_USAGE
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal

SECONDS_BETWEEN_CLAIMS = 1.0


def run(batch: Batch, display: ProgressDisplay) -> int:
    """Run a batch to its end; return 0, or the exit status of the reason why it stopped."""
    stop = StopSignal()
    waiting = False
    with stopped_by_signals(stop, display, resume_hint(batch)) as received:
        while True:
            batch.refresh_from_db()
            display.begin(total=batch.total, before=batch.succeeded + batch.failed)
            report = run_slice(batch.pk, stop=stop, on_progress=display.update)
            if report.ended:
                return 0
            if report.pause_reason:
                reason = in_flags(report.pause_reason)
                display.fail(f"Paused: {reason}\n{how_to_resume(batch)}")
                return EXIT_USAGE
            if stop.requested:
                display.fail(f"Stopped. {how_to_resume(batch)}")
                return 128 + received[0]
            if not waiting:
                display.say("Waiting for chunks that another run still processes ...")
            waiting = True
            stop.wait(SECONDS_BETWEEN_CLAIMS)


def how_to_resume(batch: Batch) -> str:
    batch.refresh_from_db()
    if batch.standstill_kind == PauseKind.AUTH and not has_key(batch.provider):
        return "The provider was called without a key. Start again with --api-key-env."
    return f"{resume_hint(batch)}{remedy(batch.standstill_kind)}"


def has_key(provider: Provider) -> bool:
    """Return True if calls to a provider carry a key."""
    return bool(provider.api_key_env or provider.api_key_encrypted)


def remedy(pause_kind: str) -> str:
    """Return what else the user must change to resume a batch, by the kind of its pause."""
    if pause_kind == PauseKind.BUDGET:
        return " and a larger --max-cost or --max-tokens-total"
    if pause_kind == PauseKind.CONFIG:
        return "\nIf the name is wrong, start a new batch with another --model or --base-url."
    return ""


def resume_hint(batch: Batch) -> str:
    return f"Results so far are saved. To continue: --resume {batch.public_id}"


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
