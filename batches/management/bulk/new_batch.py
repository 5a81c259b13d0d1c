"""Create a batch from the input and options of the bulk command."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from batches.actions import providers as provider_actions
from batches.actions.batches import create_batch
from batches.actions.options import BatchOptions
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema
from batches.inputs.prompt_files import InputOptions, format_of, read_prompts
from batches.intake.demand import Demand
from batches.intake.tally import InputRefused
from batches.limits.prices import price_list_of
from batches.management.bulk.answer_options import answer_options, warning_text
from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.first_line import endpoint_named_in
from batches.management.bulk.interrupts import interruptible, until_interrupted
from batches.management.bulk.limit_options import budget, rates
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.usage import UsageError
from batches.models import Batch, Provider
from batches.providers.routing import NoProvider, check_allowed

SHOWN_INPUT_ERRORS = 10

# The option of the command that fixes an error, by the code and place of the error.
REMEDIES = {
    ("missing_required_parameter", "body.model"): "Use --model to set the default model.",
    ("missing_column", "column"): "Use --column to name the column with the prompts.",
}


def create(options: dict[str, Any], display: ProgressDisplay) -> Batch:
    """Create the batch. Raises UsageError for bad input, and then creates nothing.

    Until the last prompt is read, a signal raises Interrupted and nothing is created; after that
    the batch exists.
    """
    form = options["format"] or format_of(options["input"], otherwise="jsonl")
    # Read the schema only once: the file may be a pipe.
    schema = read_schema(options["response_schema"]) if options["response_schema"] else None
    batch_options = batch_options_of(options, schema)
    with ExitStack() as stack:
        with interruptible():
            stream = stack.enter_context(opened(options["input"]))
            warning = check_provider(provider_of(options), batch_options.timeout_s)
            if warning:
                display.say(warning)
            provider = stored_provider(options)
            if form == "jsonl" and options["endpoint"] is None:
                stream, named = endpoint_named_in(stream, most_bytes=settings.MAX_LINE_BYTES)
                batch_options = batch_options_of({**options, "endpoint": named}, schema)
            check_endpoint(provider, batch_options.endpoint, options)
        input_options = InputOptions(
            endpoint=batch_options.endpoint,
            defaults=batch_options.defaults,
            max_line_bytes=settings.MAX_LINE_BYTES,
            format=form,
            column=options["column"] or "prompt",
            strict_schemas=batch_options.strict_schemas,
            max_schema_bytes=settings.MAX_SCHEMA_BYTES_PER_BATCH,
        )
        demand = Demand(batch_options.defaults, batch_options.endpoint)
        prompts = display.reading(demand.counting(read_prompts(stream, input_options)))
        try:
            with until_interrupted(prompts) as items:
                batch = create_batch(provider, items, batch_options)
        except InputRefused as error:
            raise UsageError(refusal(options["input"], error)) from error
        except PromptRejected as error:
            raise UsageError(error.message) from error
    display.say(f"{batch.public_id}: {batch.total} prompts for {provider.base_url}")
    display.say(str(demand.estimate(price_list_of(provider))).capitalize())
    for warning in batch.warnings:
        display.say(warning_text(warning, strict_schemas=batch.strict_schemas))
    return batch


def batch_options_of(options: dict[str, Any], schema: Any) -> BatchOptions:
    """Return the options of a batch; `schema` is what --response-schema holds."""
    given = {
        "name": None if options["input"] == "-" else Path(options["input"]).name,
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
    # This process runs the batch; workers must not claim it.
    batch_options = BatchOptions(**chosen, defaults=defaults, in_background=False)
    if not options["response_schema"]:
        return batch_options
    try:
        defaults = with_response_schema(defaults, endpoint=batch_options.endpoint, schema=schema)
    except PromptRejected as error:
        raise UsageError(f"{options['response_schema']}: {error.message}") from error
    return batch_options.model_copy(update={"defaults": defaults})


def read_schema(name: str) -> Any:
    try:
        # Pass bytes, so that json.loads also detects UTF-16.
        return json.loads(Path(name).read_bytes())
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from error


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
    """Return the named provider, or an unsaved one for --base-url, to be checked first."""
    if options["base_url"]:
        return provider_actions.provider_draft(options["base_url"], options["api_key_env"] or "")
    if options["provider"]:
        return provider_actions.find_provider(options["provider"])
    return provider_actions.default_provider()


def stored_provider(options: dict[str, Any]) -> Provider:
    if options["base_url"]:
        key = options["api_key_env"] or ""
        provider = provider_actions.provider_at(options["base_url"], key, **rates(options))
        return priced(provider, options)
    return provider_of(options)


def priced(provider: Provider, options: dict[str, Any]) -> Provider:
    """Store the price of the model on its provider, if one is given."""
    if options["price"] is None:
        return provider
    given, made = options["price"]
    return provider_actions.set_price(provider, options["model"], given=given, made=made)


def check_endpoint(provider: Provider, endpoint: str, options: dict[str, Any]) -> None:
    """Raise UsageError if a provider does not allow an endpoint.

    With --base-url any endpoint is allowed, since the user of the command chose the server.
    """
    if not options["base_url"]:
        try:
            check_allowed(provider, endpoint)
        except NoProvider as error:
            raise UsageError(str(error)) from error


def refusal(name: str, error: InputRefused) -> str:
    """Describe the errors of an input, one per line."""
    shown = [str(line) for line in error.errors[:SHOWN_INPUT_ERRORS]]
    if len(error.errors) > SHOWN_INPUT_ERRORS:
        shown.append(f"and {len(error.errors) - SHOWN_INPUT_ERRORS} more")
    lead = "standard input" if name == "-" else name
    faults = {(line.code, line.param) for line in error.errors}
    remedies = [remedy for fault, remedy in REMEDIES.items() if fault in faults]
    return f"{lead}: " + "\n".join([*shown, *remedies, "No batch was created."])
