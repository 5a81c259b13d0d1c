"""Create a batch from the input and options of the bulk command."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from batches.actions import providers as provider_actions
from batches.actions.batches import create_batch
from batches.actions.finding import find_stored_batch
from batches.actions.options import BatchOptions
from batches.conf import conf
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema, with_system_prompt
from batches.engine.text.wording import quoted
from batches.inputs.file_kinds import table_file_in
from batches.inputs.input_formats import TABLE_FILES, InputFormat, named_format
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.recognition import format_in
from batches.inputs.text_lines import HEAD_BYTES
from batches.intake.demand import Demand, earlier_answers
from batches.intake.tally import MAX_WARNINGS, InputRefused
from batches.limits.escalation import models_of
from batches.limits.prices import price_list_of
from batches.management.bulk.answer_options import answer_options, warning_text
from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.first_line import endpoint_named_in, first_line_of
from batches.management.bulk.interrupts import interruptible, until_interrupted
from batches.management.bulk.limit_options import budget, rates
from batches.management.bulk.pilot_options import pilot_of
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.template_file import GivenTemplate, read_template
from batches.management.bulk.usage import UsageError
from batches.management.terminal import excerpt
from batches.models import Batch, Provider
from batches.providers.routing import NoProvider, check_allowed
from batches.reuse.earlier_batch import Difference, changes_since, remember

SHOWN_INPUT_ERRORS = 10
SHOWN_GONE = 20
FORMAT_NAMES = {
    "jsonl": "JSONL",
    "csv": "CSV",
    "tsv": "TSV",
    "text": "text, a prompt a line",
    "xlsx": "XLSX",
    "parquet": "Parquet",
}

USUAL_COLUMN = "prompt"
OWN_COLUMN = ("missing_column", "column")
# The option of the command that fixes an error, by the code and place of the error.
REMEDIES = {
    ("missing_required_parameter", "body.model"): "Use --model to set the default model.",
    OWN_COLUMN: "Use --column to name the column with the prompts.",
}


def create(options: dict[str, Any], display: ProgressDisplay) -> Batch:
    """Create the batch. Raises UsageError for bad input, and then creates nothing.

    Until the last prompt is read, a signal raises Interrupted and nothing is created; after that
    the batch exists.
    """
    # Read the schema only once: the file may be a pipe.
    schema = read_schema(options["response_schema"]) if options["response_schema"] else None
    template = read_template(options)
    columns = _columns_to_find(options, template)
    batch_options = batch_options_of(options, schema)
    with ExitStack() as stack:
        with interruptible():
            stream = stack.enter_context(opened(options["input"]))
            check = check_provider(provider_of(options), batch_options.timeout_s)
            if check.warning:
                display.say(check.warning)
            is_table = template is not None
            stream, form, line = recognised(options, stream, columns, is_table=is_table)
            display.say(how_read(options, form, line, columns))
            provider = stored_provider(options)
            if form == "jsonl" and options["endpoint"] is None and template is None:
                named = endpoint_named_in(line)
                batch_options = batch_options_of({**options, "endpoint": named}, schema)
            check_endpoint(provider, batch_options.endpoint, options)
            if template is not None:
                template.check_against(batch_options)
            if earlier := earlier_batch(options):
                remember(earlier)
        input_options = InputOptions(
            endpoint=batch_options.endpoint,
            defaults=batch_options.defaults,
            max_line_bytes=conf().MAX_LINE_BYTES,
            format=form,
            column=options["column"] or USUAL_COLUMN,
            strict_schemas=batch_options.strict_schemas,
            max_schema_bytes=conf().MAX_SCHEMA_BYTES_PER_BATCH,
            template=template.row_template if template else None,
            image_folder=template.images if template else None,
        )
        demand = Demand(batch_options.defaults, batch_options.endpoint)
        prompts = display.reading(demand.counting(read_prompts(stream, input_options)))
        try:
            with until_interrupted(prompts) as items:
                source = template.source if template else None
                batch = create_batch(provider, items, batch_options, template=source)
        except InputRefused as error:
            raise UsageError(refusal(options, error)) from error
        except PromptRejected as error:
            raise UsageError(error.message) from error
    say_what_it_is(batch, display, empty_rows=input_options.empty_rows["row"])
    if options["since"]:
        say_changes(changes_of(batch, options), display)
    models = [*demand.models, *models_of(batch.escalate)]
    for warning in islice(check.unlisted(models), MAX_WARNINGS):
        display.say(warning)
    say_estimate(batch, demand, display)
    for warning in batch.warnings:
        display.say(warning_text(warning, strict_schemas=batch.strict_schemas))
    return batch


def say_estimate(batch: Batch, demand: Demand, display: ProgressDisplay) -> None:
    """Say what the batch may cost, and what it may cost at most with stronger models."""
    prices, stronger = price_list_of(batch.provider), models_of(batch.escalate)
    answers = earlier_answers(batch.provider, [*demand.models, *stronger])
    display.say(f"Estimate: {demand.estimate(prices, answers)}")
    if stronger:
        most = demand.estimate_escalated(prices, stronger, answers)
        display.say(f"If every prompt is asked of {', '.join(map(excerpt, stronger))} too: {most}")


def say_what_it_is(batch: Batch, display: ProgressDisplay, *, empty_rows: int) -> None:
    prompts = f"{batch.total:,} prompt{'s' * (batch.total != 1)}"
    display.say(f"{batch.public_id}: {prompts} for {batch.provider.base_url}")
    if batch.template:
        display.say(f"Template: {batch.template}")
    if empty_rows:
        display.say(f"Skipped {empty_rows:,} empty row{'s' * (empty_rows > 1)}.")


def earlier_batch(options: dict[str, Any]) -> Batch | None:
    """Return the batch of --since, if there is one. Raise NotPossible."""
    return find_stored_batch(options["since"]) if options["since"] else None


def changes_of(batch: Batch, options: dict[str, Any]) -> Difference | None:
    """Compare a batch with the one of --since; None without it, or if nothing can be compared."""
    earlier = earlier_batch(options)
    return changes_since(batch, earlier) if earlier else None


def say_changes(changes: Difference | None, display: ProgressDisplay) -> None:
    if changes is None:
        display.say(
            "New and missing prompts are not known: give the prompts a custom_id, such as a column "
            "of this name."
        )
        return
    display.say(str(changes))
    if changes.gone:
        shown = ", ".join(map(excerpt, changes.gone_ids[:SHOWN_GONE]))
        more = changes.gone - SHOWN_GONE
        display.say(f"Gone: {shown}" + (f" and {more:,} more" if more > 0 else ""))


def _columns_to_find(options: dict[str, Any], template: GivenTemplate | None) -> Sequence[str]:
    """Return the columns by which the header of a table is recognised."""
    if template is not None:
        return template.row_template.columns
    return (options["column"] or USUAL_COLUMN,)


def recognised(
    options: dict[str, Any], stream: BinaryIO, columns: Sequence[str], *, is_table: bool
) -> tuple[BinaryIO, InputFormat, str]:
    """Return a stream with the whole input, its format, and its first line if it is text."""
    if form := table_file_format(options, stream):
        return stream, form, ""
    stream, line = first_line_of(stream, most_bytes=conf().MAX_LINE_BYTES)
    return stream, format_for(options, line, columns, is_table=is_table), line


def table_file_format(options: dict[str, Any], stream: BinaryIO) -> InputFormat | None:
    """Return the format of a table that is not text: by option, name or first bytes."""
    given: InputFormat | None = options["format"] or named_format(options["input"])
    if given is not None:
        return given if given in TABLE_FILES else None
    # A pipe cannot be rewound.
    peek = getattr(stream, "peek", None)
    return table_file_in(peek(HEAD_BYTES)[:HEAD_BYTES]) if peek else None


def format_for(
    options: dict[str, Any], line: str, columns: Sequence[str], *, is_table: bool
) -> InputFormat:
    """Return the format of the input: by option, name or first line. Raise UsageError.

    A template needs a table, whatever the name of the input says.
    """
    given: InputFormat | None = options["format"] or named_format(options["input"])
    if given == "text" and is_table:
        given = None
    if given or not line:
        return given or ("csv" if is_table else "jsonl")
    form = format_in(line, columns=columns, is_table=is_table or options["column"] is not None)
    if form is None:
        raise UsageError(
            f"{shown_name(options['input'])} may be a table or a text: give --column to name the "
            f"column with the prompts, or --format text. Its first line is {quoted(line)}"
        )
    return form


def how_read(options: dict[str, Any], form: InputFormat, line: str, columns: Sequence[str]) -> str:
    """Return the format in which the input is read, and a doubt if it looks like another."""
    text = f"Reading {shown_name(options['input'])} as {FORMAT_NAMES[form]}."
    if not line or options["format"]:
        return text
    seems = format_in(line, columns=columns)
    if seems in (None, "text", form) or {seems, form} == {"csv", "tsv"}:
        return text
    return f"{text} It looks like {FORMAT_NAMES[seems]}: --format {seems} reads it so."


def shown_name(name: str) -> str:
    return "standard input" if name == "-" else name


def batch_options_of(options: dict[str, Any], schema: Any) -> BatchOptions:
    """Return the options of a batch; `schema` is what --response-schema holds."""
    given = {
        "name": None if options["input"] == "-" else Path(options["input"]).name,
        "endpoint": options["endpoint"],
        "batch_size": options["batch_size"],
        "schedule": options["schedule"],
        "order": options["order"],
        "reuse": "owner" if options["since"] else options["reuse"],
        "max_attempts": options["max_attempts"],
        "timeout_s": options["timeout"],
        **answer_options(options),
        **budget(options),
        "pilot": pilot_of(options),
        "stop_when": options["stop_when"],
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    defaults = {"model": options["model"]} if options["model"] else {}
    # This process runs the batch; workers must not claim it.
    batch_options = BatchOptions(**chosen, defaults=defaults, in_background=False)
    endpoint = batch_options.endpoint
    if options["system"]:
        try:
            defaults = with_system_prompt(defaults, options["system"], endpoint=endpoint)
        except PromptRejected as error:
            raise UsageError(f"--system: {error.message}") from error
    if options["response_schema"]:
        try:
            defaults = with_response_schema(defaults, endpoint=endpoint, schema=schema)
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
        provider = provider_actions.provider_at(options["base_url"], key, "", **rates(options))
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


def refusal(options: dict[str, Any], error: InputRefused) -> str:
    """Describe the errors of an input, one per line."""
    shown = [str(line) for line in error.errors[:SHOWN_INPUT_ERRORS]]
    if len(error.errors) > SHOWN_INPUT_ERRORS:
        shown.append(f"and {len(error.errors) - SHOWN_INPUT_ERRORS} more")
    faults = {(line.code, line.param) for line in error.errors}
    if options["template"]:
        faults.discard(OWN_COLUMN)
    remedies = [remedy for fault, remedy in REMEDIES.items() if fault in faults]
    lines = "\n".join([*shown, *remedies, "No batch was created."])
    return f"{shown_name(options['input'])}: {lines}"
