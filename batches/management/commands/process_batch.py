"""Run a file of prompts through a provider, from the command line."""

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console

from batches import services
from batches.budget import BUDGET_SPENT
from batches.demand import Demand
from batches.engine.errors import (
    AuthError,
    ConfigError,
    DeadlineExceeded,
    NetworkError,
    PromptRejected,
    ProviderError,
)
from batches.engine.execute import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S
from batches.engine.prepare import with_response_schema
from batches.engine.records import ENDPOINTS, SCHEDULES
from batches.engine.retry import RetryPolicy
from batches.export import write_results
from batches.ingest import InputRefused
from batches.inputs import INPUT_FORMATS, InputFormat, InputOptions, read_prompts
from batches.management.answer_options import (
    ANSWER_OPTIONS,
    add_answer_options,
    answer_options,
    warning_text,
)
from batches.management.console import ProgressDisplay, print_summary
from batches.management.database import check_database
from batches.management.limit_options import RATES, add_limit_options, budget, rates
from batches.management.output import STANDARD_OUTPUT, check_writable, whole_file
from batches.management.usage import EXIT_USAGE, UsageError, seconds, whole_number
from batches.models import Batch, Provider
from batches.probing import DEADLINE_S, look
from batches.providers import ProviderMisconfigured
from batches.runner import run_slice
from batches.stop_signal import StopSignal
from batches.summary import summarise

SHOWN_INPUT_ERRORS = 10
SECONDS_BETWEEN_CLAIMS = 1.0

EXIT_SOME_FAILED = 1

# Options of a new batch; a resumed one has its own.
NEW_BATCH_OPTIONS = (
    "input",
    "provider",
    "base_url",
    "api_key_env",
    "model",
    "endpoint",
    "batch_size",
    "schedule",
    "max_attempts",
    "timeout",
    "format",
    "column",
    *ANSWER_OPTIONS,
    *RATES,
)

EPILOG = """\
input formats:
  jsonl   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
          or {"prompt": "..."} or {"messages": [...]}, with custom_id and parameters if you like
  csv     a header and a column of prompts (--column), and custom_id if you like
  text    a prompt a line

examples:
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl
  process_batch questions.txt --provider vllm --model llama --output out.jsonl --batch-size 250
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl --rpm 500 --tpm 200000 --max-cost 25
  process_batch --resume batch_0123 --output out.jsonl

exit status: 0 all prompts succeeded, 1 some failed or never ran, 2 usage, bad input, or paused (a
refused key, an empty account, a budget that is spent), 130 after Ctrl-C, 143 after SIGTERM. The
key is read from the environment and is never stored.
"""


T = TypeVar("T")


class Command(BaseCommand):
    help = "Run a file of prompts through a provider and write the results in input order."
    requires_migrations_checks = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.update(epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("input", nargs="?", help="a file of prompts, or - for standard input")
        add("--output", required=True, help="where the results go, or - for standard output")
        add("--errors", help="a file of its own for the failed prompts")
        add("--provider", help="a provider by name")
        add("--base-url", help="any OpenAI-compatible endpoint, such as https://api.example/v1")
        add("--api-key-env", help="the environment variable with the key for --base-url")
        add("--model", help="the model of every prompt that names none")
        add("--endpoint", choices=ENDPOINTS, help=f"what is called (default {ENDPOINTS[0]})")
        add("--format", choices=INPUT_FORMATS, help="default: by the file's ending, else jsonl")
        add("--column", help="the column of prompts in a CSV (default prompt)")
        add(
            "--batch-size",
            type=whole_number(1, services.MAX_BATCH_SIZE),
            metavar="N",
            help=f"the most requests in flight (default {DEFAULT_BATCH_SIZE})",
        )
        add(
            "--schedule",
            choices=SCHEDULES,
            help="rolling keeps the window full (default); lockstep waits for the slowest of each "
            "chunk of --batch-size",
        )
        add(
            "--max-attempts",
            type=whole_number(1, services.MAX_ATTEMPTS),
            metavar="N",
            help=f"calls for one prompt, at most (default {RetryPolicy().max_attempts})",
        )
        add(
            "--timeout",
            type=seconds,
            metavar="S",
            help=f"the longest one call may take, in seconds (default {DEFAULT_TIMEOUT_S:g})",
        )
        add_limit_options(parser)
        add_answer_options(parser)
        add("--resume", metavar="BATCH_ID", help="go on with a batch that was stopped or paused")
        add("--json", action="store_true", help="print the summary as JSON on standard output")
        add("--quiet", action="store_true", help="show neither progress nor summary")

    def handle(self, *_args: Any, **options: Any) -> None:
        check_usage(options)
        check_database()
        # What is loaded by now stays; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        console = Console(stderr=True)
        with ProgressDisplay(console, quiet=options["quiet"]) as display:
            try:
                batch = self.resumed(options) if options["resume"] else create(options, display)
                status = run(batch, display)
            except (services.NotPossible, ProviderMisconfigured) as error:
                raise UsageError(str(error)) from error
            except KeyboardInterrupt:
                display.say("Interrupted; no batch was made.")
                sys.exit(128 + signal.SIGINT)
            if status == 0:
                export(batch, options)
        self.present(batch, console, options)
        if status:
            sys.exit(status)
        if batch.succeeded < batch.total:
            sys.exit(EXIT_SOME_FAILED)

    def resumed(self, options: dict[str, Any]) -> Batch:
        batch = services.find_batch(options["resume"])
        if batch.status in services.RESUMABLE:
            check_provider(batch.provider, batch.timeout_s)
            services.resume_batch(batch, **budget(options))
        return batch

    def present(self, batch: Batch, console: Console, options: dict[str, Any]) -> None:
        summary = summarise(batch)
        if options["json"]:
            self.stdout.write(json.dumps(summary.as_dict()))
        elif not options["quiet"]:
            print_summary(console, summary)


def check_usage(options: dict[str, Any]) -> None:
    """Raise UsageError for options that do not go together, before anything is made."""
    if options["resume"]:
        for name in NEW_BATCH_OPTIONS:
            if options[name] is not None:
                flag = "INPUT" if name == "input" else "--" + name.replace("_", "-")
                raise UsageError(f"{flag} does not go with --resume: the batch keeps its own")
    elif options["input"] is None:
        raise UsageError("name a file of prompts, or - for standard input")
    if options["provider"] and options["base_url"]:
        raise UsageError("give either --provider or --base-url")
    if options["api_key_env"] and not options["base_url"]:
        raise UsageError("--api-key-env goes with --base-url; a provider has its own key")
    if rates(options) and not options["base_url"]:
        raise UsageError(
            "--rpm and --tpm go with --base-url; set the limits of a provider in the admin"
        )
    if options["json"] and options["output"] == STANDARD_OUTPUT:
        raise UsageError("--json and --output - both want standard output")
    check_outputs(options)


def check_outputs(options: dict[str, Any]) -> None:
    taken: dict[Path, str] = {}
    for name in ("input", "output", "errors"):
        file = options[name]
        if file is None or file == STANDARD_OUTPUT:
            continue
        path = Path(file).resolve()
        if path in taken:
            raise UsageError(f"{taken[path]} and {name} are the same file, {file}")
        taken[path] = name
        if name != "input":
            try:
                check_writable(file)
            except OSError as error:
                raise UsageError(str(error)) from error


def create(options: dict[str, Any], display: ProgressDisplay) -> Batch:
    """Make the batch that was asked for. Raises UsageError, with nothing made, for bad input."""
    batch_options = batch_options_of(options)
    input_options = InputOptions(
        endpoint=batch_options.endpoint,
        defaults=batch_options.defaults,
        max_line_bytes=settings.MAX_LINE_BYTES,
        format=options["format"] or format_of(options["input"]),
        column=options["column"] or "prompt",
        strict_schemas=batch_options.strict_schemas,
    )
    with opened(options["input"]) as stream:
        provider = provider_of(options)
        check_provider(provider, batch_options.timeout_s)
        demand = Demand(batch_options.defaults)
        prompts = display.reading(demand.counting(read_prompts(stream, input_options)))
        try:
            batch = services.create_batch(provider, until_interrupted(prompts), batch_options)
        except InputRefused as error:
            raise UsageError(refusal(options["input"], error)) from error
    display.say(f"{batch.public_id}: {batch.total} prompts for {provider.base_url}")
    display.say(str(demand.estimate(provider.price_list)).capitalize())
    for warning in batch.warnings:
        display.say(warning_text(warning))
    return batch


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """These items, up to a Ctrl-C. One that came while C code called back into ours is lost where
    it is raised, so it is raised here again."""
    interrupted = False

    def handle(_number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, handle)
    try:
        for item in items:
            yield item
            if interrupted:
                raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, previous)


def batch_options_of(options: dict[str, Any]) -> services.BatchOptions:
    given = {
        "endpoint": options["endpoint"],
        "batch_size": options["batch_size"],
        "schedule": options["schedule"],
        "max_attempts": options["max_attempts"],
        "timeout_s": options["timeout"],
        **answer_options(options),
        **budget(options),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    defaults = {"model": options["model"]} if options["model"] else {}
    # This process runs it; the workers shall not.
    batch_options = services.BatchOptions(**chosen, defaults=defaults, in_background=False)
    if not options["response_schema"]:
        return batch_options
    schema = read_schema(options["response_schema"])
    try:
        defaults = with_response_schema(defaults, endpoint=batch_options.endpoint, schema=schema)
    except PromptRejected as error:
        raise UsageError(f"{options['response_schema']}: {error.message}") from error
    return replace(batch_options, defaults=defaults)


def read_schema(name: str) -> Any:
    try:
        return json.loads(Path(name).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from error


def format_of(name: str) -> InputFormat:
    endings: dict[str, InputFormat] = {".csv": "csv", ".txt": "text"}
    return endings.get(Path(name).suffix.lower(), "jsonl")


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}") from error
        yield stream


def provider_of(options: dict[str, Any]) -> Provider:
    if options["base_url"]:
        limits = rates(options)
        return services.provider_at(options["base_url"], options["api_key_env"] or "", **limits)
    if options["provider"]:
        return services.find_provider(options["provider"])
    return services.default_provider()


def check_provider(provider: Provider, timeout_s: float) -> None:
    """Ask a provider for its models, to find a wrong address or key before a prompt is read.

    It has no more time than any call has.

    Whoever starts this wants a provider tried again that its errors have paused.
    """
    try:
        look(provider, deadline_s=min(timeout_s, DEADLINE_S))
    except (AuthError, NetworkError, DeadlineExceeded) as error:
        raise UsageError(error.message) from error
    except ConfigError as error:
        # Not every provider lists its models; an address that may not be called is another matter.
        if error.status_code is None:
            raise UsageError(error.message) from error
    except ProviderError:
        pass
    services.try_again(provider)


def refusal(name: str, error: InputRefused) -> str:
    """What is wrong with an input, a line for each error."""
    shown = [str(line) for line in error.errors[:SHOWN_INPUT_ERRORS]]
    if len(error.errors) > SHOWN_INPUT_ERRORS:
        shown.append(f"and {len(error.errors) - SHOWN_INPUT_ERRORS} more")
    lead = "standard input" if name == "-" else name
    return f"{lead}: " + "\n".join(shown) + "\nNo batch was made."


def run(batch: Batch, display: ProgressDisplay) -> int:
    """Run a batch to its end; return 0, or the exit status that says why it stands still."""
    stop = StopSignal()
    waiting = False
    with stopped_by_signals(stop, display) as received:
        while True:
            batch.refresh_from_db()
            display.begin(total=batch.total, before=batch.succeeded + batch.failed)
            report = run_slice(batch.pk, stop=stop, on_progress=display.update)
            if report.ended:
                return 0
            if report.pause_reason:
                display.fail(f"Paused: {report.pause_reason}\n{how_to_resume(batch)}")
                return EXIT_USAGE
            if stop.requested:
                display.fail(f"Stopped. {how_to_resume(batch)}")
                return 128 + received[0]
            if not waiting:
                display.say("Waiting for chunks that another run still holds ...")
            waiting = True
            stop.wait(SECONDS_BETWEEN_CLAIMS)


def how_to_resume(batch: Batch) -> str:
    batch.refresh_from_db()
    raised = ""
    if batch.pause_reason.startswith(BUDGET_SPENT):
        raised = " and a larger --max-cost or --max-tokens-total"
    return f"All results so far are stored; go on with: --resume {batch.public_id}{raised}"


@contextmanager
def stopped_by_signals(stop: StopSignal, display: ProgressDisplay) -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into a stop request while the block runs; yield those received."""
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if received:
            # The second time: leave at once. What is in flight is lost, what is stored is not.
            os._exit(128 + number)
        received.append(number)
        display.say("Stopping: calls in flight are finished and stored. Again to leave at once.")
        stop.request()

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, handle))
        yield received


def export(batch: Batch, options: dict[str, Any]) -> None:
    """Write the results to the files that were asked for."""
    try:
        write_outputs(batch, options)
    except OSError as error:
        raise UsageError(f"{error}\n{how_to_resume(batch)}") from error


def write_outputs(batch: Batch, options: dict[str, Any]) -> None:
    with ExitStack() as stack:
        output = stack.enter_context(whole_file(options["output"]))
        errors = stack.enter_context(whole_file(options["errors"])) if options["errors"] else None
        write_results(batch, output, errors)
