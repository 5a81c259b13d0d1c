"""Output of the commands on stderr: progress while a batch runs, and its summary."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
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
from batches.leases.waiting import in_words
from batches.runner.store import Progress as RunProgress

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0
SHOWN_MESSAGE_CHARS = 200


class Terminal(Console):
    """Standard error. A broken pipe silences it; the batch continues to run."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stderr.fileno())


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

    def fail(self, message: str) -> None:
        """Print a message that must be seen, even if quiet."""
        print_line(self._bar.console, message, style="bold red")

    def _line(self, message: str) -> None:
        if self._quiet or self._live or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        print_line(self._console, message)


def print_line(console: Console, message: str, *, style: str = "") -> None:
    """Print a line without wrapping it: a wrapped line cannot be copied or searched."""
    console.print(Text(message, style=style), soft_wrap=True)


def print_failures(
    console: Console, failures: Mapping[str, int], messages: Mapping[str, str]
) -> None:
    """Print each kind of failure with its count and the message of one failed prompt."""
    for kind, message in messages.items():
        print_line(console, f"{kind} {failures[kind]:,}: {excerpt(message)}")


def excerpt(text: str) -> str:
    """Return the beginning of an untrusted text in one line, without terminal control codes."""
    line = " ".join(text.split())
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    over = len(plain) > SHOWN_MESSAGE_CHARS
    return plain[: SHOWN_MESSAGE_CHARS - 1] + "…" if over else plain


def print_summary(console: Console, summary: BatchSummary) -> None:
    """Print a table with the counts and timing of a batch."""
    table = Table(title=f"{summary.batch_id}: {summary.status}", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in _rows(summary):
        table.add_row(name, value)
    console.print(table)


def _rows(summary: BatchSummary) -> Iterator[tuple[str, str]]:
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
