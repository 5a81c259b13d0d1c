"""Output of the commands on stderr: progress while a batch runs, and its summary."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from batches.ending.report import failures_by_kind
from batches.ending.summary import BatchSummary
from batches.formats import dollars
from batches.leases.state import ShownState
from batches.leases.waiting import in_words
from batches.management.bulk.progress import RecentRate, RunView, flow, parts_of, plain_line
from batches.management.terminal import excerpt, print_line
from batches.models import Batch
from batches.runner.slice_records import Progress as RunProgress

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0
LEAST_BAR_CHARS = 10
# The spinner, and the spaces behind it and behind the bar.
SPINNER_CHARS = 3
# The most kinds of failure that are shown with a message.
SHOWN_KINDS = 5


class LiveProgress:
    """The progress as a terminal shows it: a bar that fills the first line, all figures, and the
    reason for waiting, wrapped to fit the terminal."""

    def __init__(self) -> None:
        self.read: int | None = None
        self.view: RunView | None = None
        self._spinner = Spinner("dots")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.view is not None:
            yield from self._lines(self.view, options.max_width)
        elif self.read is not None:
            yield self._spun(Text(f"Reading: {self.read:,} prompts"))

    def _lines(self, view: RunView, width: int) -> Iterator[RenderableType]:
        room = width - SPINNER_CHARS
        first, *others = flow(parts_of(view), width, first=room - LEAST_BAR_CHARS)
        bar_chars = max(room - len(first), LEAST_BAR_CHARS)
        bar = ProgressBar(total=max(view.total, 1), completed=view.done, width=bar_chars)
        yield self._spun(bar, Text(first, no_wrap=True))
        yield from map(Text, others)
        if view.waiting:
            yield Text(view.waiting, style="yellow")

    def _spun(self, *cells: RenderableType) -> Table:
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row(self._spinner, *cells)
        return row


class ProgressDisplay:
    """A live bar on a terminal, a line every 5 s elsewhere, nothing if quiet."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._is_live = console.is_terminal and not quiet
        self._progress = LiveProgress()
        # Results may be written to standard output meanwhile.
        self._live = Live(self._progress, console=console, redirect_stdout=False)
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self._rate = RecentRate()
        self._began_at: float | None = None
        self._before = RunView(total=0)

    def __enter__(self) -> "ProgressDisplay":
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.view is not None:
            # The last picture stays on the screen.
            self._progress.view = replace(self._progress.view, notes=(), waiting="")
        self._live.stop()

    def reading(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items and show how many were read."""
        self._progress.read = 0
        for number, item in enumerate(items, start=1):
            yield item
            if number % 500 == 0:
                self._progress.read = number
                self._line(f"Read {number:,} prompts")
        self._progress.read = None

    def begin(self, batch: Batch) -> None:
        """Show a run of a batch, parts of which may have a result already."""
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        self._before = self._progress.view = RunView(
            total=batch.total,
            done=batch.succeeded + batch.failed,
            failures=self._failures_of(batch),
            tokens=batch.input_tokens + batch.output_tokens,
            cost=batch.cost,
        )
        self._rate.see(self._before.done, now=now)

    def _failures_of(self, batch: Batch) -> Mapping[str, int]:
        """Return the failures so far; count them only at the beginning of the first slice."""
        if self._progress.view is not None:
            return self._progress.view.failures
        return failures_by_kind(batch) if batch.failed else {}

    def update(self, progress: RunProgress) -> None:
        """Show the progress of a run."""
        before, now = self._before, time.monotonic()
        done = before.done + progress.succeeded + progress.failed
        waiting = progress.waiting
        view = self._progress.view = RunView(
            total=before.total,
            done=done,
            failures=Counter(before.failures) + Counter(progress.failures),
            in_flight=progress.in_flight,
            tokens=before.tokens + progress.spent.tokens,
            cost=before.cost + progress.spent.cost,
            per_s=self._rate.see(done, now=now),
            elapsed_s=now - (self._began_at or now),
            notes=[excerpt(note.rstrip(".")) for note in progress.notes],
            waiting=excerpt(in_words(waiting)) if waiting else "",
        )
        if self._is_live:
            self._live.refresh()
        self._line(plain_line(view))

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            print_line(self._console, message)

    def _line(self, message: str) -> None:
        if self._quiet or self._is_live or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        print_line(self._console, f"{datetime.now(UTC):%H:%M:%S} UTC {message}")


def failure_lines(failures: Mapping[str, int], messages: Mapping[str, str]) -> Iterator[str]:
    """Yield each kind of failure with its count and, if given, the message of one prompt."""
    for kind, count in failures.items():
        message = messages.get(kind)
        yield f"{kind} {count:,}: {excerpt(message)}" if message else f"{kind} {count:,}"


def print_summary(console: Console, summary: BatchSummary, state: ShownState) -> None:
    """Print the state of a batch, and a table with its counts and timing."""
    print_line(console, f"{summary.batch_id}: {excerpt(str(state))}", style="bold")
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in summary_rows(summary):
        table.add_row(name, value)
    console.print(table)


def summary_rows(summary: BatchSummary) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the figures of a batch."""
    timing = summary.timing
    yield "prompts", f"{summary.total:,}"
    yield "succeeded", f"{summary.succeeded:,}"
    yield "failed", f"{summary.failed:,}"
    for rung, count in summary.rungs.items():
        yield f"  answers {rung.replace('_', ' ')}", f"{count:,}"
    if summary.reused:
        yield "  answers used again", f"{summary.reused:,}"
    if summary.escalated:
        succeeded = f"{summary.escalated_succeeded:,} succeeded"
        yield "asked a stronger model", f"{summary.escalated:,}, {succeeded}"
    yield "calls", f"{summary.calls:,}"
    yield "tokens in / out", f"{summary.input_tokens:,} / {summary.output_tokens:,}"
    if summary.cached_tokens:
        share = summary.cached_tokens / summary.input_tokens
        yield "  from the provider's cache", f"{summary.cached_tokens:,} ({share:.0%} of in)"
    yield "cost", dollars(summary.cost) if summary.cost is not None else "price unknown"
    if summary.reused:
        saved = f"{summary.saved_tokens:,} tokens"
        if summary.saved_cost is not None:
            saved += f", {dollars(summary.saved_cost)}"
        yield "saved", saved
    yield "first result", _seconds(timing.first_result_s)
    yield "total", _seconds(timing.total_s)
    yield "average per request", _seconds(timing.average_s)
    yield "p50 / p95", f"{_seconds(timing.p50_s)} / {_seconds(timing.p95_s)}"
    yield "prompts per second", _number(timing.prompts_per_s)
    yield "speed-up over one at a time", f"{_number(timing.speed_up)} x"
    if summary.pilot is not None:
        yield from summary.pilot.rows()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f} s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
