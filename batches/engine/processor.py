"""Run the three phases: prepare, execute, post-process."""

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from pydantic import BaseModel

from batches.engine.endpoints import CHAT
from batches.engine.errors import ConfigError, ProviderError
from batches.engine.execute import Execution, ExecutionOptions, Send
from batches.engine.postprocess import postprocess_exchange
from batches.engine.prepare import (
    asks_for_schema,
    prepare_prompt_request,
    prompt_body,
    with_response_class,
)
from batches.engine.records import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_TIMEOUT_S,
    Exchange,
    LadderOptions,
    Outcome,
    PreparedRequest,
    PromptSpec,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from batches.engine.structured.classes import class_model
from batches.engine.structured.known_schemas import KnownSchemas
from batches.engine.structured.ladder import judge_reply
from batches.engine.timing import TimingStats, timing_stats

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessedBatch:
    """One outcome for each prompt, in the order of the prompts, and the timing of the run."""

    outcomes: list[Outcome]
    timing: TimingStats

    @property
    def succeeded(self) -> int:
        return sum(outcome.succeeded for outcome in self.outcomes)

    @property
    def failed(self) -> int:
        return len(self.outcomes) - self.succeeded


async def process_prompt_batch(
    prompts: Iterable[PromptSpec | Mapping[str, Any] | str],
    *,
    send: Send,
    endpoint: str = CHAT,
    defaults: Mapping[str, Any] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    schedule: Schedule = "rolling",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    retry: RetryPolicy | None = None,
    response_model: Any = None,
    ladder: LadderOptions | None = None,
) -> ProcessedBatch:
    """Run prompts through the three phases and return their outcomes in order.

    A prompt is a text, a request body, or a PromptSpec. Fields of a body win over `defaults`. At
    most `batch_size` calls are in flight. Every prompt gets an outcome: if an error asks for a
    pause (a refused API key, no credit left), the remaining prompts fail with that error.

    With a `response_model`, each prompt without a schema of its own asks for JSON that fits this
    type: a pydantic model, a dataclass, a TypedDict, `list[Model]`, or any other type that
    pydantic's TypeAdapter takes. `parsed` of the outcome is then an instance of the type. Raise
    PromptRejected for any other type. `ladder` says how answers that do not fit are repaired.
    """
    specs = [prompt_spec(index, prompt, endpoint, defaults) for index, prompt in enumerate(prompts)]
    prepared = prepare_prompts(specs, endpoint, defaults or {}, response_model)
    options = ExecutionOptions(
        batch_size=batch_size, schedule=schedule, timeout_s=timeout_s, retry=retry or RetryPolicy()
    )
    started = time.monotonic()
    exchanges = await execute_requests(prepared, send=send, options=options, ladder=ladder)
    outcomes = [
        item if isinstance(item, Outcome) else postprocess_exchange(exchanges[item.index])
        for item in prepared
    ]
    batch = ProcessedBatch(outcomes, timing_of(outcomes, started=started))
    log_performance(batch)
    return batch


def prompt_spec(
    index: int,
    prompt: PromptSpec | Mapping[str, Any] | str,
    endpoint: str,
    defaults: Mapping[str, Any] | None = None,
) -> PromptSpec:
    """Return a prompt of any form as a PromptSpec with this index."""
    if isinstance(prompt, PromptSpec):
        return PromptSpec(index, prompt.custom_id, prompt.body)
    if not isinstance(prompt, str):
        return PromptSpec(index, f"request-{index}", prompt)
    return PromptSpec(index, f"request-{index}", prompt_body(prompt, endpoint, defaults))


def prepare_prompts(
    specs: Iterable[PromptSpec],
    endpoint: str,
    defaults: Mapping[str, Any],
    response_model: Any = None,
) -> list[PreparedRequest | Outcome]:
    """Run phase 1 for prompts in memory."""
    answer_model: type[BaseModel] | None = None
    if response_model is not None:
        answer_model = class_model(response_model)
        defaults = with_response_class(defaults, endpoint=endpoint, model=answer_model)
    known = KnownSchemas(defaults, endpoint, answer_model=answer_model)
    prepared: list[PreparedRequest | Outcome] = []
    for spec in specs:
        request = prepare_prompt_request(spec, endpoint=endpoint, defaults=defaults, known=known)
        is_classed = answer_model is not None and not asks_for_schema(spec.body, endpoint)
        if isinstance(request, PreparedRequest) and is_classed:
            request = replace(request, optional_as_null=True)
        prepared.append(request)
    return prepared


async def execute_requests(
    prepared: Sequence[PreparedRequest | Outcome],
    *,
    send: Send,
    options: ExecutionOptions,
    ladder: LadderOptions | None = None,
) -> dict[int, Exchange]:
    """Run phase 2 for requests in memory; return their exchanges by index."""
    exchanges: dict[int, Exchange] = {}

    async def keep(exchange: Exchange) -> None:
        exchanges[exchange.request.index] = exchange

    execution = Execution(send, keep, options, judge=partial(judge_reply, options=ladder))
    await execution.run(_chunks(prepared, options.batch_size))
    for exchange in execution.broken_off:
        exchanges[exchange.request.index] = exchange
    unsent = execution.pause or ConfigError("not sent")
    for request in prepared:
        if isinstance(request, PreparedRequest) and request.index not in exchanges:
            exchanges[request.index] = _unsent(request, unsent)
    return exchanges


async def _chunks(
    prepared: Sequence[PreparedRequest | Outcome], size: int
) -> AsyncIterator[Sequence[PreparedRequest]]:
    requests = (item for item in prepared if isinstance(item, PreparedRequest))
    while chunk := list(islice(requests, size)):
        yield chunk


def _unsent(request: PreparedRequest, error: ProviderError) -> Exchange:
    return Exchange(
        request=request,
        reply=None,
        error=error,
        calls=0,
        latency_s=0.0,
        busy_s=0.0,
        sent_at=0.0,
        done_at=0.0,
    )


def timing_of(outcomes: Iterable[Outcome], *, started: float) -> TimingStats:
    """Return the timing of the outcomes of one run that started at `started` (monotonic)."""
    called = [outcome for outcome in outcomes if outcome.calls and outcome.done_at is not None]
    done = [outcome.done_at - started for outcome in called if outcome.done_at is not None]
    return timing_stats(
        (outcome.latency_s for outcome in called),
        busy_s=sum(outcome.busy_s for outcome in called),
        total_s=max(done, default=0.0),
        first_result_s=min(done, default=None),
    )


def log_performance(batch: ProcessedBatch) -> None:
    """Log the performance metrics of a run: total time, average time per request, and more."""
    logger.info(
        "Processed %d prompts: %d succeeded, %d failed; %s",
        len(batch.outcomes),
        batch.succeeded,
        batch.failed,
        batch.timing.describe(),
    )
