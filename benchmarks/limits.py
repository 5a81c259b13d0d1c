"""Providers with rate limits: how much of the allowance is used, and how many calls are refused.

`python -m benchmarks limits` also measures short batches, fixed windows, and refusals by chance.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx

from benchmarks.tools import Row
from benchmarks.workers import fresh_stack, seconds_until_done
from simulator import Behaviour
from tests.processes.stack import Stack

TITLE = "A provider that allows 50 requests/s, or 20,000 tokens/s; PostgreSQL with Redis"

Known = Literal["configured", "announced", "neither"]

REQUESTS_PER_SECOND = 50
PROMPTS = 3_000
TOKENS_PER_SECOND = 20_000
LONG_PROMPTS = 1_200
WINDOW = 100
PATIENCE_S = 600

# The least share of the allowance that must be used, and the largest of calls refused, in percent.
BARS: Mapping[Known, tuple[float, float]] = {
    "configured": (98.0, 0.5),
    "announced": (96.0, 1.0),
    "neither": (90.0, 10.0),
}


@dataclass(frozen=True)
class Case:
    """A limit of a provider, what is known of it, and how many workers keep to it."""

    unit: Literal["requests", "tokens"]
    known: Known
    workers: int

    @property
    def name(self) -> str:
        workers = "worker" if self.workers == 1 else "workers"
        return f"{self.unit}, {self.known}, {self.workers} {workers}"

    def behaviour(self) -> Behaviour:
        announce = self.known == "announced"
        if self.unit == "requests":
            return Behaviour(
                latency="uniform:0.1,0.5",
                requests_per_second=REQUESTS_PER_SECOND,
                burst=REQUESTS_PER_SECOND,
                announce_limits=announce,
            )
        return Behaviour(
            latency="uniform:0.1,0.5", tokens_per_second=TOKENS_PER_SECOND, announce_limits=announce
        )

    def limits(self) -> dict[str, int]:
        if self.known != "configured":
            return {}
        if self.unit == "requests":
            return {"requests_per_minute": 60 * REQUESTS_PER_SECOND}
        return {"tokens_per_minute": 60 * TOKENS_PER_SECOND}

    def texts(self) -> list[str]:
        if self.unit == "requests":
            return [f"prompt {number}" for number in range(PROMPTS)]
        return [long_text(number) for number in range(LONG_PROMPTS)]

    def used(self, stats: Mapping[str, Any]) -> float:
        """The share of the allowance that was used between the first call and the last, in %."""
        if self.unit == "requests":
            taken, rate = stats["admitted"], REQUESTS_PER_SECOND
        else:
            taken, rate = stats["tokens"], TOKENS_PER_SECOND
        return float(100 * taken / (rate + rate * stats["admitted_s"]))


def long_text(number: int) -> str:
    """A prompt of 10 to some 10,000 tokens, most of them some hundreds."""
    tokens = min(10 + random.Random(number).lognormvariate(5.5, 1.2), 10_000.0)
    return f"prompt {number}: " + "word" * int(tokens)


CASES = [
    Case(unit, known, workers)
    for unit in ("requests", "tokens")
    for known in BARS
    for workers in (1, 4)
]


SHORT_PROMPTS = 1_000
SHORT_BARS: Mapping[Known, float] = {"configured": 0.0, "announced": 1.0, "neither": 2.0}
# Calls in a window, its seconds, and the prompts: two full windows and a half.
WINDOWS = ((60, 10, 150), (300, 60, 750))
CHANCES = (0.01, 0.03, 0.1)
CHANCE_PROMPTS = 2_000


def measure() -> list[Row]:
    rows = [row for known in SHORT_BARS for row in short_rows(known)]
    rows += [window_row(*window) for window in WINDOWS]
    rows += chance_rows()
    return rows + [row for case in CASES for row in rows_of(case)]


def short_rows(known: Known) -> list[Row]:
    """A batch that is over before a long run has evened out what its opening costs."""
    case = Case("requests", known, 1)
    behaviour = replace(case.behaviour(), latency="0.2")
    with fresh_stack("postgres") as stack:
        stack.simulator.behaviour = behaviour
        stack.start_worker("worker")
        stats = run(stack, case, texts=case.texts()[:SHORT_PROMPTS])
    refused = 100 * stats["by_status"].get("429", 0) / stats["calls"]
    name = f"{SHORT_PROMPTS:,} prompts, {known}"
    return [
        Row(f"{name}: allowance used", case.used(stats), "%", bar=98.0, at_least=True),
        Row(f"{name}: calls refused with 429", refused, "%", bar=SHORT_BARS[known]),
    ]


def window_row(limit: int, seconds: int, prompts: int) -> Row:
    """How long the calls of a batch take to be let in, against the windows that they need."""
    behaviour = Behaviour(
        latency="0.2", requests_per_second=limit / seconds, window_seconds=seconds
    )
    with fresh_stack("postgres") as stack:
        stack.simulator.behaviour = behaviour
        stack.start_worker("worker")
        texts = [f"prompt {number}" for number in range(prompts)]
        stats = run(stack, Case("requests", "announced", 1), texts=texts)
    ideal_s = (prompts - 1) // limit * seconds
    name = f"fixed windows of {seconds} s, {prompts} prompts: span / ideal"
    return Row(name, stats["admitted_s"] / ideal_s, "x", bar=1.05)


def chance_rows() -> list[Row]:
    """Refusals that have nothing to do with pace, and the batch after them."""
    spans = {}
    for share in (0.0, *CHANCES):
        with fresh_stack("postgres") as stack:
            stack.simulator.behaviour = Behaviour(latency="0.1")
            stack.start_worker("worker")
            warm_up(stack, 1)
            stack.simulator.behaviour = Behaviour(latency="0.1", refusal_rate=share)
            during = span_of(stack)
            stack.simulator.behaviour = Behaviour(latency="0.1")
            spans[share] = during, span_of(stack)
    usual_s, usual_after_s = spans.pop(0.0)
    rows = [Row(f"{CHANCE_PROMPTS:,} prompts, no refusals: span", usual_s, "s")]
    for share, (during_s, after_s) in spans.items():
        name = f"{share:.0%} refused by chance"
        rows.append(Row(f"{name}: span / span without", during_s / usual_s, "x", bar=2.0))
        rows.append(Row(f"{name}: the next batch", after_s / usual_after_s, "x", bar=1.1))
    return rows


def span_of(stack: Stack) -> float:
    """The seconds that a batch takes from its first call to its last outcome."""
    batch = stack.create_batch(CHANCE_PROMPTS, batch_size=WINDOW)
    stack.wait_until(lambda: stack.simulator.in_flight, "the first call")
    return seconds_until_done(stack, batch)


def rows_of(case: Case) -> list[Row]:
    with fresh_stack("postgres") as stack:
        stack.simulator.behaviour = case.behaviour()
        for number in range(case.workers):
            stack.start_worker(f"worker-{number}")
        stats = run(stack, case)
    least, most = BARS[case.known]
    calls = stats["calls"]
    refused = 100 * stats["by_status"].get("429", 0) / calls
    return [
        Row(f"{case.name}: allowance used", case.used(stats), "%", bar=least, at_least=True),
        Row(f"{case.name}: calls refused with 429", refused, "%", bar=most),
    ]


def run(stack: Stack, case: Case, *, texts: list[str] | None = None) -> dict[str, Any]:
    """Run a batch to its end; what the provider has counted. Exits if a prompt is lost."""
    warm_up(stack, case.workers)
    stack.driver("limit", base_url=stack.simulator.base_url, **case.limits())
    texts = texts or case.texts()
    batch = stack.create_batch(texts, batch_size=WINDOW, parallelism=case.workers)
    stack.wait_completed(batch, seconds=PATIENCE_S)
    status = stack.status(batch)
    if status["succeeded"] != len(texts):
        raise RuntimeError(f"{case.name}: {status}")
    stats: dict[str, Any] = httpx.get(
        stack.simulator.base_url.removesuffix("/v1") + "/_simulator/stats"
    ).json()
    return stats


def warm_up(stack: Stack, workers: int) -> None:
    """Wait until every worker takes messages, with another provider's model in mind."""
    for _ in range(2 * workers):
        stack.wait_completed(stack.create_batch(1, defaults={"model": "another"}))
    stack.simulator.reset()
