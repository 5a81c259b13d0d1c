"""Output of the commands on stderr: progress while a batch runs, and its summary."""

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from batches.ending.summary import BatchSummary
from batches.formats import dollars
from batches.leases.waiting import in_words
from batches.management.terminal import excerpt, print_line
from batches.runner.store import Progress as RunProgress

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0
# The most kinds of failure that are shown with a message.
SHOWN_KINDS = 5


class CountsBar(Progress):
    """A progress bar, and below it the reason for waiting, wrapped to fit the terminal."""

    wait = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the bar, then the reason for waiting, if any."""
        yield self.make_tasks_table(self.tasks)
        if self.wait:
            yield Text(self.wait, style="yellow")


class ProgressDisplay:
    """A live bar on a terminal, a line every 5 s elsewhere, nothing if quiet."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self._before = 0
        self._total = 0
        self._task: TaskID | None = None
        self._bar = CountsBar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def reading(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items and show how many were read."""
        task = self._bar.add_task("Reading", total=None, note="")
        for number, item in enumerate(items, start=1):
            yield item
            if number % 500 == 0:
                self._bar.update(task, completed=number)
                self._line(f"Read {number} prompts")
        self._bar.remove_task(task)

    def begin(self, *, total: int, before: int) -> None:
        """Show a run of `total` prompts, of which `before` already have a result."""
        self._total, self._before = total, before
        if self._task is None:
            self._task = self._bar.add_task("Running", total=total, completed=before, note="")

    def update(self, progress: RunProgress) -> None:
        """Show the progress of a run."""
        done = self._before + progress.succeeded + progress.failed
        note = f"{progress.failed} failed, {progress.in_flight} in flight"
        if self._task is not None:
            self._bar.wait = excerpt(in_words(progress.waiting)) if progress.waiting else ""
            self._bar.update(self._task, completed=done, note=note)
        if progress.waiting:
            note += f"; {excerpt(in_words(progress.waiting))}"
        self._line(f"{done} of {self._total} prompts, {note}")

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            print_line(self._bar.console, message)

    def _line(self, message: str) -> None:
        if self._quiet or self._live or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        print_line(self._console, message)


def failure_lines(failures: Mapping[str, int], messages: Mapping[str, str]) -> Iterator[str]:
    """Yield each kind of failure with its count and the message of one failed prompt."""
    for kind, message in messages.items():
        yield f"{kind} {failures[kind]:,}: {excerpt(message)}"


def print_summary(console: Console, summary: BatchSummary) -> None:
    """Print a table with the counts and timing of a batch."""
    print_line(console, f"{summary.batch_id}: {excerpt(str(summary.state))}", style="bold")
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
    for kind, count in summary.failures.items():
        yield f"  {kind}", f"{count:,}"
    for rung, count in summary.rungs.items():
        yield f"  answers {rung.replace('_', ' ')}", f"{count:,}"
    yield "calls", f"{summary.calls:,}"
    yield "tokens in / out", f"{summary.input_tokens:,} / {summary.output_tokens:,}"
    yield "cost", dollars(summary.cost) if summary.cost is not None else "price unknown"
    yield "first result", _seconds(timing.first_result_s)
    yield "total", _seconds(timing.total_s)
    yield "average per request", _seconds(timing.average_s)
    yield "p50 / p95", f"{_seconds(timing.p50_s)} / {_seconds(timing.p95_s)}"
    yield "prompts per second", _number(timing.prompts_per_s)
    yield "speed-up over one at a time", f"{_number(timing.speed_up)} x"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f} s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
