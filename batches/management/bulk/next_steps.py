"""Whole commands that a user can run next on a batch, with the outputs of this run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batches.lifecycle import PauseKind
from batches.management.pasting import command_line
from batches.management.pipes import STANDARD_OUTPUT
from batches.models import Batch, Provider
from batches.models.answer import rows_of

# The beginning of an ID that is unique among many thousands.
SHORT_ID_CHARS = len("batch_") + 10


@dataclass(frozen=True, slots=True)
class NextCommands:
    """The commands for a batch that a user may type next."""

    batch_id: str
    outputs: tuple[str, ...]
    display: tuple[str, ...] = ()

    @classmethod
    def of(cls, batch: Batch, options: Mapping[str, Any]) -> "NextCommands":
        """Return the commands that keep the outputs and the display options of this run."""
        return cls(
            batch.public_id,
            outputs=tuple(_outputs_of(options)),
            display=tuple(f"--{name}" for name in ("json", "quiet") if options[name]),
        )

    def resume(self, *more: str) -> str:
        return self._process_batch("--resume", *more)

    def retry(self) -> str:
        return self._process_batch("--retry")

    def results(self) -> str:
        # Files may have results of before.
        replacing = ("--overwrite",) if set(self.outputs) - {"--output", STANDARD_OUTPUT} else ()
        return command_line("batches", "results", self.batch_id, *self.outputs, *replacing)

    def _process_batch(self, flag: str, *more: str) -> str:
        given = (*self.outputs, *more, *self.display)
        return command_line("process_batch", flag, self.batch_id, *given)


def own_output(batch: Batch) -> tuple[str, ...]:
    """Return the options for an output that has no results of another batch."""
    return ("--output", f"{batch.public_id[:SHORT_ID_CHARS]}.jsonl")


def how_to_continue(batch: Batch, commands: NextCommands) -> str:
    """Return how to continue a batch that has not ended, with what must be changed for it."""
    batch.refresh_from_db()
    kind = batch.standstill_kind
    if kind == PauseKind.AUTH and not has_key(batch.provider):
        return "The provider was called without a key. Start again with --api-key-env."
    if kind == PauseKind.BUDGET and (more := more_budget(batch)):
        return f"To spend as much again: {commands.resume(*more)}"
    if kind == PauseKind.PILOT:
        return "\n".join(_after_pilot(batch, commands))
    if kind == PauseKind.RULE:
        return f"To continue without the rule: {commands.resume(*without_rules(batch))}"
    hint = f"To continue: {commands.resume()}"
    if kind == PauseKind.CONFIG:
        hint += "\nIf the name is wrong, start a new batch with another --model or --base-url."
    return hint


def _after_pilot(batch: Batch, commands: NextCommands) -> Iterator[str]:
    left = batch.total - batch.succeeded - batch.failed
    others = "prompt" if left == 1 else f"{left:,} prompts"
    yield f"To run the other {others}: {commands.resume()}"
    if batch.failed:
        yield f"To run the failed prompts of the pilot again: {commands.retry()}"
    yield f"To cancel: {command_line('batches', 'cancel', batch.public_id)}"
    if label := rows_of(batch):
        yield f"To change the prompts: cancel it and call enrich again for the rows of {label}."
        return
    yield (
        f"To change the prompts: cancel it and start another batch with --since {batch.public_id}. "
        "Requests that stay the same are not sent again."
    )


def how_to_write(commands: NextCommands) -> str:
    """Return how to write the results that are stored."""
    return f"Results so far are saved. To write them: {commands.results()}"


def how_to_retry(batch: Batch, commands: NextCommands) -> str:
    """Return how to run again the prompts that have no answer; "" if all have one."""
    left = batch.total - batch.succeeded
    if not left:
        return ""
    prompts = "1 prompt has" if left == 1 else f"{left:,} prompts have"
    return f"{prompts} no answer. To run what failed again: {commands.retry()}"


def more_budget(batch: Batch) -> tuple[str, ...]:
    """Return the options that let a batch spend its budget once more."""
    flags: list[str] = []
    tokens = batch.input_tokens + batch.output_tokens
    if batch.max_cost is not None and batch.cost >= batch.max_cost:
        flags += ["--max-cost", _plain(batch.cost + batch.max_cost)]
    if batch.max_tokens_total is not None and tokens >= batch.max_tokens_total:
        flags += ["--max-tokens-total", str(tokens + batch.max_tokens_total)]
    return tuple(flags)


def without_rules(batch: Batch) -> tuple[str, ...]:
    """Return the option that takes the rules away from a batch that has broken one."""
    return ("--stop-when", "none") if batch.pause_kind == PauseKind.RULE else ()


def has_key(provider: Provider) -> bool:
    """Return True if calls to a provider carry a key."""
    return bool(provider.api_key_env or provider.api_key_encrypted)


def _outputs_of(options: Mapping[str, Any]) -> Iterator[str]:
    for name in ("output", "errors"):
        file = options[name]
        # A later shell does not have the pipes of this one.
        if file is None or file.startswith("/dev/fd/"):
            continue
        if file.startswith("-") and file != STANDARD_OUTPUT:
            yield f"--{name}={file}"
        else:
            yield from (f"--{name}", file)


def _plain(dollars: Decimal) -> str:
    """Return an amount without an exponent, with the digits that a budget may have."""
    return f"{dollars:.6f}".rstrip("0").rstrip(".")
