"""Run a file of prompts through a provider, from the command line."""

import gc
import json
import logging
import sys
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console

from batches.actions import batches as batch_actions
from batches.ending.summary import first_messages, summarise
from batches.errors import NotPossible
from batches.management.bulk.console import (
    ProgressDisplay,
    Terminal,
    print_failures,
    print_line,
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
from batches.management.bulk.options import add_bulk_options, check_usage
from batches.management.bulk.output import (
    discard_standard_output,
    ended_by_reader,
    name_of,
    write_outputs,
)
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.reader import remove_interrupted
from batches.management.bulk.run import how_to_resume, resume_hint, run
from batches.management.bulk.usage import HelpFormatter, UsageError
from batches.management.database import check_database
from batches.models import Batch
from batches.providers.configured import ProviderMisconfigured

EXIT_SOME_FAILED = 1
OUTPUTS = ("output", "errors")
SHOWN_KINDS = 5

EPILOG = """\
input formats:
  jsonl   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
          or {"prompt": "..."} or {"messages": [...]}, with custom_id and parameters if you like
          or a request body alone
  csv     a header and a column of prompts (--column), and custom_id if you like; the delimiter
  tsv     and the encoding are found out
  text    a prompt a line

examples:
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl
  process_batch questions.txt --provider vllm --model llama --output out.jsonl --batch-size 250
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl --rpm 500 --tpm 200000 --max-cost 25
  process_batch --resume batch_0123 --output out.jsonl
  process_batch --retry batch_0123 --output out.jsonl

exit status:
  0         all prompts succeeded
  1         some failed, or never ran because the batch was cancelled or expired
  2         usage, bad input, an output that cannot be written; or paused: a refused key, an empty
            account, a spent budget, a wrong model or address, a provider that answers nothing
  130, 143  stopped by Ctrl-C, by SIGTERM
  141       nobody reads the output any more

The key is read from the environment and is never stored.
A provider that does not answer is waited for, up to PROVIDER_PATIENCE seconds (an environment
variable, 900); 0 pauses the batch at once.
"""


class Command(BaseCommand):
    help = "Run a file of prompts through a provider and write the results in input order."
    requires_migrations_checks = False

    # What is worked on, as soon as it is there.
    batch: Batch | None = None

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.update(epilog=EPILOG, formatter_class=HelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

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
            raise UsageError(in_flags(str(error))) from error
        except Interrupted as interrupt:
            there = resume_hint(self.batch) if self.batch else "No batch was made."
            with handled_by(partial(leave, there)):
                print_line(console, f"Interrupted. {there}", style="bold red")
            sys.exit(interrupt.status)
        if status:
            sys.exit(status)

    def work(self, console: Console, options: dict[str, Any]) -> int:
        """Do what was asked for; return the exit status."""
        calm_collector()
        # That a batch pauses is told by the display, once.
        logging.getLogger("batches.runner.store").setLevel(logging.ERROR)
        with ProgressDisplay(console, quiet=options["quiet"]) as display:
            begin = self.find if options["resume"] or options["retry"] else self.make
            batch = begin(options, display)
            status = run(batch, display)
            if status == 0:
                export(batch, options)
        self.present(batch, console, options)
        return status or (EXIT_SOME_FAILED if batch.succeeded < batch.total else 0)

    def make(self, options: dict[str, Any], display: ProgressDisplay) -> Batch:
        if removed := remove_interrupted():
            display.say(f"Removed {removed} that a killed run had begun to read.")
        with uninterrupted():
            self.batch = batch = create(options, display)
        return batch

    def find(self, options: dict[str, Any], display: ProgressDisplay) -> Batch:
        self.batch = batch = batch_actions.find_batch(options["resume"] or options["retry"])
        if options["resume"] and batch.status not in batch_actions.RESUMABLE:
            return batch
        if warning := check_provider(batch.provider, batch.timeout_s):
            display.say(warning)
        if options["retry"]:
            batch_actions.retry_batch(batch, here=True)
        return batch_actions.resume_batch(batch, **budget(options), here=True)

    def present(self, batch: Batch, console: Console, options: dict[str, Any]) -> None:
        summary = summarise(batch)
        if options["json"]:
            with ended_by_reader():
                self.stdout.write(json.dumps(summary.as_dict()))
                self.stdout.flush()
        elif not options["quiet"] and (summary.succeeded or summary.failures):
            print_summary(console, summary)
            kinds = list(summary.failures)[:SHOWN_KINDS]
            print_failures(console, summary.failures, first_messages(batch, kinds))


def calm_collector() -> None:
    """What is loaded by now stays; the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def export(batch: Batch, options: dict[str, Any]) -> None:
    """Write the results to the files that were asked for."""
    try:
        with ended_by_reader():
            write_outputs(batch, options["output"], options["errors"])
    except OSError as error:
        discard_standard_output()
        names = " or ".join(name_of(options[name]) for name in OUTPUTS if options[name])
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {names}: {reason}\n{how_to_resume(batch)}") from error
