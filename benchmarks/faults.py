"""A provider that fails one call in eight, in every way at once."""

from dataclasses import dataclass
from itertools import count

from benchmarks.tools import (
    Row,
    data_folder,
    process_batch,
    prompt_text,
    provider_process,
    summary_of,
)
from simulator import Behaviour
from simulator.behaviour import plan_call
from simulator.effects import Answer

TITLE = "2,000 prompts of 0.1 s, window 100, 12 % of the calls fail in mixed ways, SQLite"

PROMPTS = 2000
WINDOW = 100
LATENCY = "0.1"
TIMEOUT_S = 1.0
# A call longer than the time-out is one that fails.
MIX = "; ".join(
    (
        "0.03 status=429 retry_after=1",
        "0.01 status=500",
        "0.015 status=502 body=html",
        "0.015 status=503",
        "0.005 status=529",
        "0.01 reset",
        "0.01 body=truncated",
        "0.005 body=long_content_length",
        "0.005 body=html",
        "0.005 body=empty",
        "0.005 hang",
        "0.005 latency=30",
    )
)
SPAN_BAR_S = 5.0
CALLS_BAR = 2_300


@dataclass(frozen=True, slots=True)
class Run:
    """How a run went."""

    span_s: float
    succeeded: int
    calls: int


def measure() -> list[Row]:
    without, with_faults = run(""), run(MIX)
    return [
        Row("span without faults", without.span_s, "s"),
        Row("span", with_faults.span_s, "s", bar=SPAN_BAR_S),
        Row("succeeded", with_faults.succeeded, "", bar=PROMPTS, at_least=True),
        Row("calls", with_faults.calls, "", bar=CALLS_BAR),
        Row("calls that the faults explain", explained(MIX), ""),
    ]


def run(mix: str) -> Run:
    """Run the command against a provider with these faults."""
    with data_folder() as folder, provider_process(LATENCY, mix=mix) as base_url:
        options = ("--batch-size", str(WINDOW), "--timeout", str(TIMEOUT_S))
        # 1: prompts have failed, which the rows are to show.
        cost = process_batch(folder, base_url, PROMPTS, *options, ends=(0, 1))
        summary = summary_of(cost)
        return Run(summary["timing"]["total_s"], summary["succeeded"], summary["calls"])


def explained(mix: str) -> int:
    """Return the calls that are needed if each failed call is made again, and no other is."""
    behaviour = Behaviour(latency=LATENCY, mix=mix)
    return sum(calls_of(behaviour, prompt_text(number)) for number in range(PROMPTS))


def calls_of(behaviour: Behaviour, prompt: str) -> int:
    """The number of the first call of a prompt that is answered in time."""
    return next(number for number in count(1) if is_answered(behaviour, prompt, number))


def is_answered(behaviour: Behaviour, prompt: str, number: int) -> bool:
    plan = plan_call(behaviour, prompt, number)
    return isinstance(plan.effect, Answer) and plan.latency < TIMEOUT_S
