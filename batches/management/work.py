"""The work of the bulk command: make or find a batch, run it, and write its results."""

import json
import logging
from functools import partial
from typing import Any

from django.core.management.base import OutputWrapper
from django.db import Error
from rich.console import Console

from batches.actions import batches as batch_actions
from batches.actions.finding import find_stored_batch
from batches.ending.summary import first_messages, summarise
from batches.errors import NotPossible
from batches.intake.reading import remove_abandoned
from batches.leases.state import current_state
from batches.management.bulk.answer_options import ANSWER_OPTIONS, check_answer_options
from batches.management.bulk.console import (
    SHOWN_KINDS,
    ProgressDisplay,
    failure_lines,
    print_summary,
)
from batches.management.bulk.interrupts import (
    Interrupted,
    handled_by,
    interruptible,
    leave,
    uninterrupted,
)
from batches.management.bulk.limit_options import RATES, budget, rates
from batches.management.bulk.new_batch import changes_of, create
from batches.management.bulk.next_steps import (
    NextCommands,
    how_to_continue,
    how_to_retry,
    how_to_write,
)
from batches.management.bulk.output import (
    check_outputs,
    is_file,
    write_outputs,
    written_to,
)
from batches.management.bulk.pilot_options import PILOT_OPTIONS, check_pilot_options
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.run import RunEnd, run
from batches.management.bulk.usage import (
    UsageError,
    database_fault,
    in_flags,
    is_unusable,
)
from batches.management.database import check_database
from batches.management.pipes import STANDARD_OUTPUT, ended_by_reader
from batches.management.terminal import Terminal, print_line
from batches.models import Batch
from batches.providers.configured import ProviderMisconfigured
from batches.runner.tuning import tune_process

EXIT_SOME_FAILED = 1
OUTPUTS = ("output", "errors")
# Options of a new batch; a resumed batch keeps its own values.
NEW_BATCH_OPTIONS = (
    "input",
    "provider",
    "base_url",
    "api_key_env",
    "model",
    "system",
    "endpoint",
    "batch_size",
    "schedule",
    "order",
    "reuse",
    "since",
    "max_attempts",
    "timeout",
    "format",
    "column",
    "template",
    *ANSWER_OPTIONS,
    *PILOT_OPTIONS,
    *RATES,
    "price",
)


class Work:
    """One run of the command, with its options; the summary in JSON is written to `out`."""

    def __init__(self, options: dict[str, Any], out: OutputWrapper) -> None:
        self.options = options
        self.out = out
        # The current batch; set as soon as it exists.
        self.batch: Batch | None = None

    def perform(self) -> int:
        """Do the work; return the exit status. Raise UsageError."""
        check_usage(self.options)
        console = Terminal()
        try:
            with interruptible():
                check_database()
                return self._work(console)
        except (NotPossible, ProviderMisconfigured) as error:
            may_set_price = self.options["base_url"] is not None
            raise UsageError(in_flags(str(error), may_set_price=may_set_price)) from error
        except Error as error:
            if self.batch is None or not is_unusable(error):
                raise
            raise UsageError(f"{database_fault(error)}\n{self._saved()}") from error
        except Interrupted as interrupt:
            there = self._saved()
            with handled_by(partial(leave, there)):
                print_line(console, f"Interrupted. {there}", style="bold red")
            return interrupt.status

    def _work(self, console: Console) -> int:
        """Create or find the batch, run it and write its results; return the exit status."""
        tune_process()
        # The display already shows that a batch pauses, so do not log it too.
        logging.getLogger("batches.runner.store").setLevel(logging.ERROR)
        with ProgressDisplay(console, quiet=self.options["quiet"]) as display:
            begin = self._find if self.options["resume"] or self.options["retry"] else self._make
            batch = begin(display)
            end = run(batch, display, self._saved())
            written = export(batch, self.options, end)
        self._present(batch, console)
        commands = NextCommands.of(batch, self.options)
        if end.status:
            left = filter(None, (end.reason, written, how_to_continue(batch, commands)))
            print_line(console, "\n".join(left), style="bold red")
        elif (hint := how_to_retry(batch, commands)) and not self.options["quiet"]:
            print_line(console, hint)
        return end.status or (EXIT_SOME_FAILED if batch.succeeded < batch.total else 0)

    def _saved(self) -> str:
        """Return what is stored at any moment, and the commands for it."""
        if self.batch is None:
            return "No batch was created."
        commands = NextCommands.of(self.batch, self.options)
        return f"{how_to_write(commands)}\nTo continue: {commands.resume()}"

    def _make(self, display: ProgressDisplay) -> Batch:
        if removed := remove_abandoned():
            display.say(f"Removed incomplete batches of killed runs: {removed}.")
        with uninterrupted():
            self.batch = batch = create(self.options, display)
        return batch

    def _find(self, display: ProgressDisplay) -> Batch:
        self.batch = batch = find_stored_batch(self.options["resume"] or self.options["retry"])
        if self.options["resume"] and batch.status not in batch_actions.RESUMABLE:
            return batch
        if warning := check_provider(batch.provider, batch.timeout_s).warning:
            display.say(warning)
        if self.options["retry"]:
            batch_actions.retry_batch(batch, here=True)
        given = {**budget(self.options), "stop_when": self.options["stop_when"]}
        return batch_actions.resume_batch(batch, **given, here=True)

    def _present(self, batch: Batch, console: Console) -> None:
        summary = summarise(batch)
        if self.options["json"]:
            figures = summary.as_dict(current_state(batch))
            if changes := changes_of(batch, self.options):
                figures["since"] = changes.as_dict()
            with ended_by_reader():
                self.out.write(json.dumps(figures))
                self.out.flush()
        elif not self.options["quiet"] and (summary.succeeded or summary.failures):
            print_summary(console, summary, current_state(batch))
            if summary.failures:
                print_line(console, "Failed prompts, by kind, with the message of one:")
            kinds = list(summary.failures)[:SHOWN_KINDS]
            for line in failure_lines(summary.failures, first_messages(batch, kinds)):
                print_line(console, line)


def check_usage(options: dict[str, Any]) -> None:
    """Raise UsageError for options that cannot be combined, before anything is created."""
    earlier = next((name for name in ("resume", "retry") if options[name]), None)
    _check_given(options, earlier=earlier)
    if options["provider"] and options["base_url"]:
        raise UsageError("--provider and --base-url cannot be combined; give one of them")
    if options["template"] and options["column"]:
        raise UsageError("--column and --template cannot be combined: a template names its columns")
    if options["template"] and options["format"] == "text":
        raise UsageError("--template needs a table: --format text has no columns")
    if options["api_key_env"] and not options["base_url"]:
        raise UsageError("--api-key-env requires --base-url; a provider has its own key")
    if rates(options) and not options["base_url"]:
        raise UsageError(
            "--rpm and --tpm require --base-url; set the limits of a provider in the admin"
        )
    if options["price"] and not (options["base_url"] and options["model"]):
        raise UsageError(
            "--price requires --base-url and --model; set the prices of a provider in the admin"
        )
    if options["since"] and options["reuse"] in {"off", "batch"}:
        raise UsageError(f"--since uses answers of another batch, --reuse {options['reuse']} none")
    check_pilot_options(options)
    check_answer_options(options)
    if options["json"] and options["output"] == STANDARD_OUTPUT:
        raise UsageError("--json and --output - both write to standard output; name a file")
    # A batch that goes on replaces its own results so far.
    check_outputs({**options, "overwrite": options["overwrite"] or earlier is not None})


def _check_given(options: dict[str, Any], *, earlier: str | None) -> None:
    """Raise UsageError for an input or output that is missing, or an option of a new batch."""
    given = [name for name in NEW_BATCH_OPTIONS if options[name] is not None]
    if earlier and given:
        flag = "INPUT" if given[0] == "input" else "--" + given[0].replace("_", "-")
        raise UsageError(f"{flag} cannot be used with --{earlier}: the batch has its own")
    if not earlier and options["input"] is None:
        raise UsageError("no input given; name a file of prompts, or - for standard input")
    if options["output"] is None:
        # Here and not by argparse, which would not look at a misspelt option then.
        raise UsageError("no output given; name a file with --output, or - for standard output")


def export(batch: Batch, options: dict[str, Any], end: RunEnd) -> str:
    """Write the results to the output files; return what they hold of a batch that has not ended.

    The reader of a pipe would take a part for all of it, so only files get the results of a run
    that has not ended. Raises UsageError if a file cannot be written after the end of a batch; the
    status of a run that was stopped stays that of its signal.
    """
    names = [options[name] for name in OUTPUTS if options[name]]
    commands = NextCommands.of(batch, options)
    batch.refresh_from_db()
    done = batch.succeeded + batch.failed
    if end.status and not done:
        return ""
    try:
        with written_to(names, f"\n{how_to_write(commands)}"):
            if end.status and not all(map(is_file, names)):
                return how_to_write(commands)
            write_outputs(batch, options["output"], options["errors"])
    except UsageError as error:
        if not end.status:
            raise
        return str(error)
    verb = "hold" if len(names) > 1 else "holds"
    return f"{' and '.join(names)} {verb} the {done:,} results so far, of {batch.total:,}."
