"""What holds for every batch, whatever `send` does."""

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import (
    AuthError,
    DeadlineExceeded,
    Decision,
    FailureKind,
    InternalError,
    MalformedReply,
    NetworkError,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
    Unreachable,
)
from batches.engine.liveness import PROMPTS_IN_A_ROW, Patience
from batches.engine.processor import ProcessedBatch, process_prompt_batch
from batches.engine.records import SCHEDULES, Outcome, PreparedRequest, Reply, Schedule
from batches.engine.retry import RetryPolicy
from tests.engine.makers import MODEL, reply

UNCERTAIN = (ServerError, NetworkError, DeadlineExceeded, MalformedReply)
RETRIED = (Overloaded, Unreachable, *UNCERTAIN)
# A ConfigError is either final or a pause: tests/engine/test_refusals.py.
FINAL = (RequestRefused, InternalError)
PAUSING = (AuthError, QuotaError)
UNEXPECTED = (ValueError, KeyError, ZeroDivisionError, UnicodeError, TimeoutError)

Failure = type[ProviderError] | type[Exception]


@dataclass(frozen=True)
class Plan:
    """What becomes of the calls for one prompt: so many yields of the loop, then its failures
    one after the other, then a reply; or it is no prompt at all."""

    pauses: int
    failures: tuple[Failure, ...] = ()
    rejected: bool = False

    def kind(self, max_attempts: int) -> FailureKind | None:
        """The kind of failure that this plan ends with, None for success."""
        if self.rejected:
            return FailureKind.REJECTED
        attempts = 0
        for failure in self.failures:
            error = _error(failure)
            attempts += error.costs_attempt
            over = error.costs_attempt and attempts >= max_attempts
            if error.decision is not Decision.RETRY or over:
                return error.kind
        return None


def _error(failure: Failure) -> ProviderError:
    """The ProviderError that a failure amounts to."""
    if issubclass(failure, ProviderError):
        return failure("as planned")
    # A `send` that runs out of time by itself did not bring a whole reply either.
    return DeadlineExceeded("") if failure is TimeoutError else InternalError("")


async def process(
    plans: Sequence[Plan], *, schedule: Schedule, batch_size: int, max_attempts: int
) -> tuple[ProcessedBatch, int]:
    """Run these plans; return the batch and the most calls that were in flight."""
    calls = [0] * len(plans)
    in_flight = most = 0

    async def send(request: PreparedRequest) -> Reply:
        nonlocal in_flight, most
        plan = plans[request.index]
        call = calls[request.index]
        calls[request.index] += 1
        in_flight += 1
        most = max(most, in_flight)
        try:
            for _ in range(plan.pauses):
                await asyncio.sleep(0)
            if call < len(plan.failures):
                raise plan.failures[call]("as planned")
            return reply(f"answer {request.index}")
        finally:
            in_flight -= 1

    batch = await process_prompt_batch(
        [{"messages": []} if plan.rejected else "hi" for plan in plans],
        send=send,
        defaults={"model": MODEL},
        schedule=schedule,
        batch_size=batch_size,
        retry=RetryPolicy(
            max_attempts=max_attempts, base_s=0.0, patience=Patience(first_s=0.0, longest_s=0.0)
        ),
    )
    for outcome, made in zip(batch.outcomes, calls, strict=True):
        if outcome.kind not in (FailureKind.AUTH, FailureKind.QUOTA):
            assert outcome.calls == made
    return batch, most


def check(batch: ProcessedBatch, plans: Sequence[Plan]) -> None:
    """One outcome for each prompt, in the order of the prompts, its own and no other's."""
    assert [outcome.index for outcome in batch.outcomes] == list(range(len(plans)))
    for outcome in batch.outcomes:
        assert outcome.custom_id == f"request-{outcome.index}"
        assert outcome.succeeded == (outcome.kind is None)
        assert outcome.answer == (f"answer {outcome.index}" if outcome.succeeded else None)
    assert batch.succeeded + batch.failed == len(plans)


def plans_of(*failures: Failure) -> st.SearchStrategy[list[Plan]]:
    plan = st.builds(
        Plan,
        pauses=st.integers(0, 6),
        failures=st.lists(st.sampled_from(failures), max_size=4).map(tuple),
        rejected=st.sampled_from([False, False, False, True]),
    )
    return st.lists(plan, max_size=15)


schedules = st.sampled_from(SCHEDULES)
sizes = st.integers(1, 20)


def shows_no_outage(plans: Sequence[Plan]) -> bool:
    """Return True if too few prompts fail for the provider to be thought away."""
    doubted = [plan for plan in plans if {*plan.failures} & {*UNCERTAIN, TimeoutError}]
    return len(doubted) < PROMPTS_IN_A_ROW


@given(
    plans=plans_of(RateLimited, *RETRIED, *FINAL, *UNEXPECTED),
    schedule=schedules,
    batch_size=sizes,
    max_attempts=st.integers(1, 4),
)
def test_there_is_one_outcome_per_prompt_also_when_failures_look_like_an_outage(
    plans: list[Plan], schedule: Schedule, batch_size: int, max_attempts: int
) -> None:
    batch, most = asyncio.run(
        process(plans, schedule=schedule, batch_size=batch_size, max_attempts=max_attempts)
    )
    check(batch, plans)
    for outcome, plan in zip(batch.outcomes, plans, strict=True):
        # Excused failures are followed by what comes next in the plan.
        errors = {_error(failure).kind for failure in plan.failures}
        assert outcome.kind in {plan.kind(max_attempts), None, *errors}
        is_hopeless = plan.rejected or any(
            _error(failure).decision is not Decision.RETRY for failure in plan.failures
        )
        assert not (is_hopeless and outcome.kind is None)
    assert most <= batch_size


@given(
    plans=plans_of(RateLimited, *UNCERTAIN, *FINAL, *UNEXPECTED).filter(shows_no_outage),
    schedule=schedules,
    batch_size=sizes,
    max_attempts=st.integers(1, 4),
)
def test_there_is_one_outcome_per_prompt_in_order_and_it_is_the_right_one(
    plans: list[Plan], schedule: Schedule, batch_size: int, max_attempts: int
) -> None:
    batch, most = asyncio.run(
        process(plans, schedule=schedule, batch_size=batch_size, max_attempts=max_attempts)
    )
    check(batch, plans)
    kinds = [outcome.kind for outcome in batch.outcomes]
    assert kinds == [plan.kind(max_attempts) for plan in plans]
    assert most <= batch_size


@given(
    plans=plans_of(RateLimited, *PAUSING, ServerError, RequestRefused, ValueError),
    schedule=schedules,
    batch_size=sizes,
    max_attempts=st.integers(1, 4),
)
def test_there_is_one_outcome_per_prompt_also_when_the_provider_asks_for_a_pause(
    plans: list[Plan], schedule: Schedule, batch_size: int, max_attempts: int
) -> None:
    batch, most = asyncio.run(
        process(plans, schedule=schedule, batch_size=batch_size, max_attempts=max_attempts)
    )
    check(batch, plans)
    planned = [plan.kind(max_attempts) for plan in plans]
    paused = {FailureKind.AUTH, FailureKind.QUOTA}
    told = {outcome.kind for outcome in batch.outcomes} & paused
    # One error asked for the pause, and whoever did not come to an end has that one.
    assert len(told) == bool(paused & set(planned))
    for outcome, kind in zip(batch.outcomes, planned, strict=True):
        assert outcome.kind == kind or outcome.kind in told
    assert most <= batch_size


def essence(outcome: Outcome) -> Outcome:
    """An outcome without its times."""
    return dataclasses.replace(outcome, latency_s=0.0, busy_s=0.0, elapsed_s=0.0, done_at=None)


@given(
    plans=plans_of(*(RateLimited, ServerError, NetworkError, RequestRefused, ValueError)).filter(
        shows_no_outage
    ),
    schedule=schedules,
    batch_size=st.integers(2, 20),
)
def test_concurrent_outcomes_equal_sequential_ones(
    plans: list[Plan], schedule: Schedule, batch_size: int
) -> None:
    def outcomes(size: int) -> list[Outcome]:
        batch, most = asyncio.run(
            process(plans, schedule=schedule, batch_size=size, max_attempts=3)
        )
        assert most <= size
        return [essence(outcome) for outcome in batch.outcomes]

    assert outcomes(batch_size) == outcomes(1)


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_answers_that_come_in_any_order_end_in_the_order_of_the_prompts(
    schedule: Schedule,
) -> None:
    chance = random.Random(7)
    latencies = [chance.uniform(0, 0.01) for _ in range(60)]
    ended: list[int] = []

    async def send(request: PreparedRequest) -> Reply:
        await asyncio.sleep(latencies[request.index])
        ended.append(request.index)
        return reply(f"answer {request.index}")

    batch = await process_prompt_batch(
        ["hi"] * 60, send=send, defaults={"model": MODEL}, batch_size=20, schedule=schedule
    )
    assert ended != sorted(ended)
    assert [outcome.answer for outcome in batch.outcomes] == [f"answer {n}" for n in range(60)]


async def test_concurrent_calls_overlap_where_sequential_ones_do_not() -> None:
    # Five calls of the same length: one after the other, and all at once.
    async def send(request: PreparedRequest) -> Reply:
        await asyncio.sleep(0.02)
        return reply()

    def overlaps(batch: ProcessedBatch) -> int:
        spans = [(o.done_at or 0.0) - o.elapsed_s for o in batch.outcomes]
        ends = [o.done_at or 0.0 for o in batch.outcomes]
        return sum(start < min(ends) for start in spans)

    defaults = {"model": MODEL}
    one_by_one = await process_prompt_batch(["hi"] * 5, send=send, defaults=defaults, batch_size=1)
    at_once = await process_prompt_batch(["hi"] * 5, send=send, defaults=defaults, batch_size=5)
    assert overlaps(one_by_one) == 1
    assert overlaps(at_once) == 5
