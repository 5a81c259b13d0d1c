import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import (
    AuthError,
    ConfigError,
    DeadlineExceeded,
    Decision,
    InternalError,
    MalformedReply,
    NetworkError,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
    TargetAway,
)
from batches.engine.retry import MAX_RETRY_AFTER_S, RetryPolicy, Verdict, decide, retry_after_s

POLICY = RetryPolicy(max_attempts=3, base_s=0.5, cap_s=60.0, max_wait_s=1000.0)
COSTLY = (Overloaded, ServerError, NetworkError, DeadlineExceeded, MalformedReply)
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def verdict(
    error: ProviderError,
    *,
    attempts: int = 1,
    retries: int = 1,
    waited_s: float = 0.0,
    chance: float = 1.0,
    policy: RetryPolicy = POLICY,
) -> Verdict:
    return decide(
        error, attempts=attempts, retries=retries, waited_s=waited_s, policy=policy, chance=chance
    )


@pytest.mark.parametrize(
    ("cls", "decision"),
    [
        (AuthError, Decision.PAUSE),
        (QuotaError, Decision.PAUSE),
        (RequestRefused, Decision.FINAL),
        (ConfigError, Decision.FINAL),
        (InternalError, Decision.FINAL),
    ],
)
@pytest.mark.parametrize("attempts", [0, 1, 3, 100])
@pytest.mark.parametrize("after", [None, 0.0, 7.0])
def test_what_no_repetition_would_cure_is_never_repeated(
    cls: type[ProviderError], decision: Decision, attempts: int, after: float | None
) -> None:
    assert verdict(cls("no", retry_after_s=after), attempts=attempts) == Verdict(decision)


@pytest.mark.parametrize("cls", COSTLY)
@pytest.mark.parametrize(
    ("attempts", "after", "expected"),
    [
        (1, None, Verdict(Decision.RETRY, 0.5)),
        (2, None, Verdict(Decision.RETRY, 1.0)),
        (3, None, Verdict(Decision.FINAL)),
        (4, None, Verdict(Decision.FINAL)),
        (1, 0.0, Verdict(Decision.RETRY, 0.5)),
        (1, 7.0, Verdict(Decision.RETRY, 7.5)),
        (2, 7.0, Verdict(Decision.RETRY, 7.5)),
        (3, 7.0, Verdict(Decision.FINAL)),
        (1, 999.0, Verdict(Decision.RETRY, 999.5)),
        (1, 1001.0, Verdict(Decision.FINAL)),
    ],
)
def test_a_failure_that_may_have_cost_something_is_repeated_up_to_the_last_attempt(
    cls: type[ProviderError], attempts: int, after: float | None, expected: Verdict
) -> None:
    error = cls("broke", retry_after_s=after)
    assert verdict(error, attempts=attempts, retries=attempts) == expected


def test_one_attempt_means_no_repetition() -> None:
    once = RetryPolicy(max_attempts=1)
    assert verdict(ServerError("500"), policy=once) == Verdict(Decision.FINAL)


@pytest.mark.parametrize(
    ("retries", "waited", "after", "expected"),
    [
        (1, 0.0, None, Verdict(Decision.RETRY, 0.5)),
        (50, 0.0, None, Verdict(Decision.RETRY, 60.0)),
        (50, 940.0, None, Verdict(Decision.RETRY, 60.0)),
        (50, 1000.0, None, Verdict(Decision.FINAL)),
        (1, 0.0, 2.0, Verdict(Decision.RETRY, 2.5)),
        (1, 990.0, 20.0, Verdict(Decision.FINAL)),
    ],
)
def test_a_refusal_for_pace_is_repeated_until_the_prompt_has_waited_long_enough(
    retries: int, waited: float, after: float | None, expected: Verdict
) -> None:
    error = RateLimited("slow down", retry_after_s=after)
    assert verdict(error, attempts=0, retries=retries, waited_s=waited) == expected


def test_a_refusal_for_pace_does_not_end_what_other_failures_have_nearly_ended() -> None:
    error = RateLimited("slow down")
    assert verdict(error, attempts=POLICY.max_attempts, retries=9).decision is Decision.RETRY


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_longest_wait_that_is_honoured_is_waited_for_with_the_default_policy(
    chance: float,
) -> None:
    # What a provider asks for is cut to an hour; it would be no use if that hour was too long.
    error = RateLimited("slow down", retry_after_s=MAX_RETRY_AFTER_S)
    answer = verdict(error, attempts=0, policy=RetryPolicy(), chance=chance)
    assert answer.decision is Decision.RETRY
    assert answer.delay_s >= MAX_RETRY_AFTER_S


def test_an_error_is_of_one_mind_about_attempts() -> None:
    free = {cls for cls in ProviderError.__subclasses__() if not cls.costs_attempt}
    assert free == {AuthError, QuotaError, RateLimited, ConfigError, TargetAway}


@given(
    retries=st.integers(1, 10**6),
    chance=st.floats(0, 1, exclude_max=True),
    after=st.none() | st.floats(0, 500),
)
def test_the_wait_is_drawn_between_what_was_asked_for_and_the_doubled_base(
    retries: int, chance: float, after: float | None
) -> None:
    answer = verdict(
        RateLimited("slow down", retry_after_s=after), attempts=0, retries=retries, chance=chance
    )
    least, spread = after or 0.0, min(60.0, 0.5 * 2.0 ** min(retries - 1, 100))
    if after:
        spread = POLICY.base_s
    assert answer.decision is Decision.RETRY
    assert answer.delay_s == pytest.approx(least + chance * spread)


def test_no_chance_means_no_wait_and_the_wait_doubles_until_the_cap() -> None:
    error = ServerError("500")
    assert verdict(error, chance=0.0).delay_s == 0.0
    patient = replace(POLICY, max_attempts=99)
    waits = [verdict(error, attempts=n, retries=50, policy=patient).delay_s for n in range(1, 11)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "99999999"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 13:00:30 +0100"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Thursday, 01-Jan-26 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu Jan  1 12:00:30 2026"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 01 Jan 2100 12:00:00 GMT"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Thu, 99 Jan 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 2026"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "-1500", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "nan", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "1e300"}, MAX_RETRY_AFTER_S),
    ],
)
def test_the_wait_a_provider_asks_for_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers, now=NOW) == seconds


def test_a_date_is_held_against_the_clock_of_this_moment() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=30)
    seconds = retry_after_s({"retry-after": soon.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    assert seconds is not None
    assert 1500 < seconds <= 1800


DATE_PARTS = ("Thu,", "Thu", "01", "1", "Jan", "2026", "0001", "9999", "12:00:30", "GMT", "Z")
ODD_PARTS = ("99:99:99", "+9999", "-2359", "+2359", ",", ":", "::", "-", "--", "0", "-1", "1e9")
DATE_LIKE = st.lists(st.sampled_from(DATE_PARTS + ODD_PARTS), max_size=7).map(" ".join)


@given(header=st.text(max_size=40) | DATE_LIKE, milliseconds=st.none() | st.text(max_size=12))
def test_no_header_breaks_the_reading(header: str, milliseconds: str | None) -> None:
    headers = {"retry-after": header}
    if milliseconds is not None:
        headers["retry-after-ms"] = milliseconds
    seconds = retry_after_s(headers, now=NOW)
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= MAX_RETRY_AFTER_S)
