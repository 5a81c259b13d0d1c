"""Run a file of prompts through a provider, from the command line."""

import json
import logging
import sys
from functools import partial
from typing import Any

from django.core.management.base import CommandParser
from django.db import Error
from rich.console import Console

from batches.actions import batches as batch_actions
from batches.actions.finding import find_stored_batch
from batches.ending.summary import first_messages, summarise
from batches.errors import NotPossible
from batches.intake.reading import remove_abandoned
from batches.leases.state import current_state
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
from batches.management.bulk.limit_options import budget, in_flags
from batches.management.bulk.new_batch import create
from batches.management.bulk.next_steps import (
    NextCommands,
    how_to_continue,
    how_to_retry,
    how_to_write,
)
from batches.management.bulk.options import add_bulk_options, check_usage
from batches.management.bulk.output import (
    ended_by_reader,
    is_file,
    write_outputs,
    written_to,
)
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.run import RunEnd, run
from batches.management.bulk.usage import (
    UsageCommand,
    UsageError,
    database_fault,
    is_unusable,
)
from batches.management.database import check_database
from batches.management.terminal import Terminal, print_line
from batches.models import Batch
from batches.providers.configured import ProviderMisconfigured
from batches.runner.tuning import tune_process

EXIT_SOME_FAILED = 1
OUTPUTS = ("output", "errors")

EPILOG = """\
input formats:
  jsonl   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
          or {"prompt": "..."} or {"messages": [...]}, with optional custom_id and parameters,
          or only a request body
  csv     a header and a column of prompts (--column), optionally a column custom_id;
  tsv     delimiter and encoding are detected
  text    one prompt per line

examples:
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl
  process_batch questions.txt --provider vllm --model llama --output out.jsonl --batch-size 250
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl --rpm 500 --tpm 200000 --max-cost 25 --price 0.5,1.5
  process_batch --resume batch_0123 --output out.jsonl
  process_batch --retry batch_0123 --output out.jsonl

exit status:
  0         all prompts succeeded
  1         some failed, or never ran because the batch was cancelled or expired
  2         usage error, bad input, output that cannot be written; or paused: rejected key, no
            quota left, spending limit reached, wrong model or address, provider unreachable
  130, 143  stopped by Ctrl-C or SIGTERM
  141       the reader closed the output pipe

A batch ID may be shortened as long as it is unique. List, show and change batches, and write their
results: python manage.py batches --help

The key is read from the environment and is never stored.
If the provider cannot be reached, the prompts wait up to PROVIDER_PATIENCE seconds (an environment
variable, default 900); 0 pauses the batch immediately.
"""


class Command(UsageCommand):
    help = "Run a file of prompts through a provider and write the results in input order."
    epilog = EPILOG
    requires_migrations_checks = False
    # They load every page of the server.
    requires_system_checks = ()

    # The current batch; set as soon as it exists.
    batch: Batch | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        add_bulk_options(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        check_usage(options)
        console = Terminal()
        try:
            with interruptible():
                check_database()
                status = self.work(console, options)
        except (NotPossible, ProviderMisconfigured) as error:
            may_set_price = options["base_url"] is not None
            raise UsageError(in_flags(str(error), may_set_price=may_set_price)) from error
        except Error as error:
            if self.batch is None or not is_unusable(error):
                raise
            raise UsageError(f"{database_fault(error)}\n{self.saved(options)}") from error
        except Interrupted as interrupt:
            there = self.saved(options)
            with handled_by(partial(leave, there)):
                print_line(console, f"Interrupted. {there}", style="bold red")
            sys.exit(interrupt.status)
        if status:
            sys.exit(status)

    def work(self, console: Console, options: dict[str, Any]) -> int:
        """Create or find the batch, run it and write its results; return the exit status."""
        tune_process()
        # The display already shows that a batch pauses, so do not log it too.
        logging.getLogger("batches.runner.store").setLevel(logging.ERROR)
        with ProgressDisplay(console, quiet=options["quiet"]) as display:
            begin = self.find if options["resume"] or options["retry"] else self.make
            batch = begin(options, display)
            end = run(batch, display, self.saved(options))
            written = export(batch, options, end)
        self.present(batch, console, options)
        commands = NextCommands.of(batch, options)
        if end.status:
            left = filter(None, (end.reason, written, how_to_continue(batch, commands)))
            print_line(console, "\n".join(left), style="bold red")
        elif (hint := how_to_retry(batch, commands)) and not options["quiet"]:
            print_line(console, hint)
        return end.status or (EXIT_SOME_FAILED if batch.succeeded < batch.total else 0)

    def saved(self, options: dict[str, Any]) -> str:
        """Return what is stored at any moment, and the commands for it."""
        if self.batch is None:
            return "No batch was created."
        commands = NextCommands.of(self.batch, options)
        return f"{how_to_write(commands)}\nTo continue: {commands.resume()}"

    def make(self, options: dict[str, Any], display: ProgressDisplay) -> Batch:
        if removed := remove_abandoned():
            display.say(f"Removed incomplete batches of killed runs: {removed}.")
        with uninterrupted():
            self.batch = batch = create(options, display)
        return batch

    def find(self, options: dict[str, Any], display: ProgressDisplay) -> Batch:
        self.batch = batch = find_stored_batch(options["resume"] or options["retry"])
        if options["resume"] and batch.status not in batch_actions.RESUMABLE:
            return batch
        if warning := check_provider(batch.provider, batch.timeout_s).warning:
            display.say(warning)
        if options["retry"]:
            batch_actions.retry_batch(batch, here=True)
        return batch_actions.resume_batch(batch, **budget(options), here=True)

    def present(self, batch: Batch, console: Console, options: dict[str, Any]) -> None:
        summary = summarise(batch)
        if options["json"]:
            with ended_by_reader():
                self.stdout.write(json.dumps(summary.as_dict(current_state(batch))))
                self.stdout.flush()
        elif not options["quiet"] and (summary.succeeded or summary.failures):
            print_summary(console, summary, current_state(batch))
            if summary.failures:
                print_line(console, "Failed prompts, by kind, with the message of one:")
            kinds = list(summary.failures)[:SHOWN_KINDS]
            for line in failure_lines(summary.failures, first_messages(batch, kinds)):
                print_line(console, line)


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
