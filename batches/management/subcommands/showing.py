"""`batches show`: one batch, and the commands that a user may type next."""

from collections.abc import Iterator
from datetime import UTC
from typing import TextIO

from batches.actions.finding import find_batch
from batches.ending.summary import first_messages, summarise
from batches.leases.state import PAUSED, STOPPED, WAITING, state_of, with_state
from batches.lifecycle import CANCELLABLE, RETRYABLE, TERMINAL, PauseKind
from batches.limits.escalation import models_of
from batches.management.bulk.console import (
    SHOWN_KINDS,
    failure_lines,
    summary_rows,
)
from batches.management.bulk.next_steps import more_budget, own_output, without_rules
from batches.management.pasting import command_line
from batches.management.subcommands.batch_rows import object_of
from batches.management.subcommands.subcommand import Options, Subcommand, add_id
from batches.management.subcommands.tables import write_json, write_pairs
from batches.management.terminal import excerpt
from batches.models import Batch


def run(options: Options, out: TextIO) -> None:
    """Write the figures of a batch; of one that has not ended, this reads every result."""
    found = find_batch(options["id"])
    batch = with_state(Batch.objects.filter(pk=found.pk)).get()
    summary, state = summarise(found), state_of(batch)
    if options["json"]:
        write_json(
            out, {**object_of(batch), **_options_of(batch), **summary.as_dict(state_of(batch))}
        )
        return
    out.write(f"{batch.public_id}: {excerpt(str(state))}\n")
    write_pairs(out, [*_head(batch), *summary_rows(summary)])
    messages = first_messages(batch, list(summary.failures)[:SHOWN_KINDS])
    for line in [*failure_lines(summary.failures, messages), *_errors(batch), *next_lines(batch)]:
        out.write(f"{line}\n")


def _head(batch: Batch) -> Iterator[tuple[str, str]]:
    if batch.name:
        yield "name", batch.name
    address = f"{batch.provider.base_url}{batch.endpoint.removeprefix('/v1')}"
    yield "provider", f"{batch.provider.name}, {address}"
    yield "model", batch.model or "several"
    if batch.escalate:
        yield "stronger models", ", ".join(map(excerpt, models_of(batch.escalate)))
    yield "created", f"{batch.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if batch.max_cost is not None:
        yield "budget", f"${batch.max_cost.normalize():f}"
    if batch.max_tokens_total is not None:
        yield "token limit", f"{batch.max_tokens_total:,}"
    if batch.stop_when:
        yield "stops when", ", ".join(f"{name}={most:g}" for name, most in batch.stop_when.items())


def _options_of(batch: Batch) -> dict[str, object]:
    return {
        "endpoint": batch.endpoint,
        "max_cost": None if batch.max_cost is None else float(batch.max_cost),
        "max_tokens_total": batch.max_tokens_total,
        "stop_when": batch.stop_when,
        "escalate": batch.escalate,
        "errors": batch.errors,
    }


def _errors(batch: Batch) -> Iterator[str]:
    for error in batch.errors[:SHOWN_KINDS]:
        line = f"line {error['line']}: " if error.get("line") else ""
        yield f"{line}{excerpt(str(error.get('message', '')))}"


def next_lines(batch: Batch) -> Iterator[str]:
    """Yield what can be done with a batch from `with_state`, each with its command."""
    word, name = state_of(batch).word, batch.public_id
    more = (*more_budget(batch), *without_rules(batch)) if word == PAUSED else ()
    # Only a command tries a paused provider again.
    if word == STOPPED or (word == PAUSED and batch.pause_reason):
        resume = command_line("batches", "resume", name, *more)
        yield f"To let the workers continue it: {resume}"
    if word in {PAUSED, STOPPED, WAITING}:
        here = command_line("process_batch", "--resume", name, *own_output(batch), *more)
        yield f"To run it here: {here}"
    if batch.status in CANCELLABLE:
        yield f"To cancel it: {command_line('batches', 'cancel', name)}"
    if batch.pause_kind == PauseKind.PILOT and batch.failed:
        again = command_line("batches", "retry", name)
        yield f"To run the failed prompts of the pilot again: {again}"
    if batch.status in RETRYABLE and batch.succeeded < batch.total:
        yield f"To run what failed again: {command_line('batches', 'retry', name)}"
    if batch.succeeded + batch.failed:
        written = command_line("batches", "results", name, *own_output(batch), "--overwrite")
        so_far = "" if batch.status in TERMINAL else " so far"
        yield f"To write the results{so_far}: {written}"


SHOW = Subcommand(run, ("1a2b", "batch_1a2b --json"), add_id)
