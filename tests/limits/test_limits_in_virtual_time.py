"""Every kind of limit, in virtual time: how much of it is used, and how many calls are refused.

Each row is a run of the real engine and limiter; the whole table is asserted.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from simulator.limit import Bucket, FixedWindow
from tests.limited_runs import LimitedProvider, Runs

RUNNERS = (1, 4, 16)
LATENCY_S = (0.2, 0.2)


def bucket(rate: float, size: int, *, announced: int = 0, unit: str = "requests") -> Bucket:
    return Bucket(unit, rate, size, float(size), 0.0, announced)


def window(limit: int, period_s: float) -> FixedWindow:
    return FixedWindow("requests", limit, period_s, period_s)


@dataclass(frozen=True)
class Row:
    """A provider, the prompts, and the bars: share refused at most, share used at least."""

    provider: Callable[[], LimitedProvider]
    prompts: int
    refused: float
    used: float
    rate: float
    burst: float
    rpm: int | None = None
    tpm: int | None = None
    sizes: list[int] = field(default_factory=list)


def of_requests(
    rate: float, size: int, prompts: int, refused: float, used: float, **more: object
) -> Row:
    """A row for a bucket of requests; `more` is what the provider does besides."""
    known = {"announced": 0, "rpm": None, **more}
    announced, rpm = known.pop("announced"), known.pop("rpm")

    def provider() -> LimitedProvider:
        made = LimitedProvider(bucket(rate, size, announced=announced), latency_s=LATENCY_S)  # type: ignore[arg-type]  # given by name
        return replace(made, **known)  # type: ignore[arg-type]  # given by name

    return Row(provider, prompts, refused, used, rate, size, rpm=rpm)  # type: ignore[arg-type]  # given by name


def of_windows(
    limit: int, period_s: float, prompts: int, refused: float, used: float, *, announces: bool
) -> Row:
    def provider() -> LimitedProvider:
        return LimitedProvider(window(limit, period_s), announces=announces, latency_s=LATENCY_S)

    return Row(provider, prompts, refused, used, limit / period_s, limit)


def sizes(count: int) -> list[int]:
    """Tokens of prompts of very different lengths."""
    chance = random.Random(5)
    return [int(min(10 + chance.lognormvariate(5.5, 1.2), 10_000.0)) for _ in range(count)]


def of_tokens(
    refused: float, used: float, *, announces: bool = False, tpm: int | None = None
) -> Row:
    def provider() -> LimitedProvider:
        limit = bucket(20_000, 20_000, unit="tokens")
        return LimitedProvider(limit, announces=announces, latency_s=LATENCY_S)

    return Row(provider, 0, refused, used, 20_000, 20_000, tpm=tpm, sizes=sizes(600))


TABLE = {
    "configured": of_requests(50, 50, 1000, 0.0, 0.98, rpm=3000),
    "configured, 300 a second": of_requests(300, 300, 2000, 0.0, 0.98, rpm=18_000),
    "configured, and announced": of_requests(50, 50, 1000, 0.0, 0.98, rpm=3000, announces=True),
    "announced as a bucket": of_requests(50, 50, 1000, 0.01, 0.98, announces=True),
    "announced, slow answers": of_requests(
        50, 50, 1000, 0.01, 0.9, announces=True, latency_s=(0.5, 2.0)
    ),
    "announced, bucket is smaller": of_requests(
        50, 50, 1000, 0.01, 0.98, announces=True, announced=3000
    ),
    "announced, bucket is far smaller": of_requests(
        50, 20, 1000, 0.2, 0.98, announces=True, announced=3000
    ),
    "fixed windows of 10 s": of_windows(60, 10, 180, 0.03, 0.98, announces=True),
    "fixed windows of 60 s": of_windows(500, 60, 2000, 0.01, 0.98, announces=True),
    "fixed windows that nothing announces": of_windows(60, 10, 300, 0.14, 0.75, announces=False),
    "unknown": of_requests(50, 50, 1000, 0.02, 0.98),
    "unknown, no Retry-After": of_requests(50, 50, 1000, 0.02, 0.94, says_when=False),
    "unknown, slow": of_requests(10, 50, 1000, 0.05, 0.98),
    "unknown, large bucket": of_requests(50, 300, 2000, 0.06, 0.93, latency_s=(0.1, 0.5)),
    "unknown, fast": of_requests(150, 300, 2500, 0.12, 0.85, latency_s=(0.1, 0.5)),
    "unknown, no burst at all": of_requests(10, 1, 600, 0.15, 0.65),
    "tokens, configured": of_tokens(0.0, 0.97, tpm=1_200_000),
    "tokens, announced": of_tokens(0.07, 0.95, announces=True),
    "tokens, unknown": of_tokens(0.07, 0.85),
}


@pytest.mark.parametrize("runners", RUNNERS)
@pytest.mark.parametrize("name", TABLE)
def test_a_limit_is_used_up_and_hardly_exceeded(name: str, runners: int) -> None:
    row = TABLE[name]
    random.seed(f"{name} {runners}")
    runs = Runs(row.provider(), runners, window=100, rpm=row.rpm, tpm=row.tpm)
    (course,) = runs.run(row.sizes or row.prompts)
    used = course.admitted / (row.burst + row.rate * course.last_at)
    assert course.refused <= row.refused
    assert used >= row.used


@cache
def spans_by_chance(share: float, runners: int) -> list[float]:
    """Return how long two batches take that follow each other, with this share of 429s."""
    random.seed(runners)
    provider = LimitedProvider(chance=share, latency_s=(0.1, 0.1))
    courses = Runs(provider, runners, window=100 // runners).run(2000, 2000)
    return [course.span_s for course in courses]


@pytest.mark.parametrize("runners", RUNNERS)
@pytest.mark.parametrize("share", [0.005, 0.01, 0.03, 0.1])
def test_refusals_by_chance_delay_their_own_prompts_only(share: float, runners: int) -> None:
    first, second = spans_by_chance(0.0, runners)
    first_by_chance, second_by_chance = spans_by_chance(share, runners)
    # Three times in a row a prompt may be told to wait for a second, and a moment longer each time.
    assert first_by_chance <= 1.25 * first + 6.0
    assert second_by_chance <= 1.25 * second + 6.0


@pytest.mark.parametrize("runners", RUNNERS)
def test_nothing_is_learned_from_a_burst_of_refusals(runners: int) -> None:
    """All calls that are sent at one moment are refused, then none."""
    provider = LimitedProvider(latency_s=(0.1, 0.1), chance_wait_s=0.5)
    provider.changes = {
        2.0: lambda it: setattr(it, "chance", 1.0),
        2.003: lambda it: setattr(it, "chance", 0.0),
    }
    (course,) = Runs(provider, runners, window=100 // runners).run(4000)
    assert course.span_s < 7.0


def turned_to(rate: float, size: int) -> Callable[[LimitedProvider], None]:
    def turn(provider: LimitedProvider) -> None:
        assert isinstance(provider.limit, Bucket)
        provider.limit.rate, provider.limit.size = rate, size

    return turn


@pytest.mark.parametrize("runners", RUNNERS)
@pytest.mark.parametrize("announces", [True, False], ids=["announced", "unknown"])
@pytest.mark.parametrize(("rate", "prompts", "refused"), [(20, 1000, 0.06), (150, 3000, 0.05)])
def test_a_limit_that_changes_in_the_middle_is_found(
    *, rate: int, prompts: int, refused: float, announces: bool, runners: int
) -> None:
    random.seed(f"{rate} {runners}")
    provider = LimitedProvider(bucket(50, 50), announces=announces, latency_s=LATENCY_S)
    provider.changes = {10.0: turned_to(float(rate), rate)}
    (course,) = Runs(provider, runners).run(prompts)
    ideal_s = 10 + (prompts - 550 - rate) / rate
    assert course.refused <= refused
    # A limit that is not advertised is found by a pace that rises, within 20 s or so.
    assert course.span_s <= 1.1 * ideal_s + (0 if rate < 50 or announces else 15)
