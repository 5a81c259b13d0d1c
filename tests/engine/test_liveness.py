"""Whose fault a failure is: the prompt's, or that of a target that answers nothing."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import (
    AuthError,
    ConfigError,
    DeadlineExceeded,
    EndpointUnusable,
    InternalError,
    MalformedReply,
    NetworkError,
    NoFileLeft,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
    Unreachable,
)
from batches.engine.liveness import (
    PROMPTS_IN_A_ROW,
    UNAVAILABLE_IN_A_ROW,
    Away,
    Blame,
    Liveness,
    Patience,
    Suspicion,
    shows_life,
    suspicion_of,
)


def failed(
    target: Liveness, call: object, error: ProviderError, *, now: float = 0.0, proved: bool = False
) -> Blame:
    suspicion = suspicion_of(error)
    assert suspicion is not None
    return target.failed(call, error, suspicion, proved=proved, now=now)


def one_after_the_other(target: Liveness, error: ProviderError, prompts: int) -> list[Blame]:
    """Fail this many prompts, each sent after the one before has failed."""
    blames = []
    for prompt in range(prompts):
        target.began(prompt, float(prompt))
        blames.append(failed(target, prompt, error, now=prompt + 0.5))
    return blames


@pytest.mark.parametrize(
    ("error", "suspicion", "is_life"),
    [
        (Unreachable("refused"), Suspicion.UNREACHED, False),
        (Overloaded("HTTP 503", status_code=503), Suspicion.UNAVAILABLE, False),
        (Overloaded("HTTP 529", status_code=529), Suspicion.UNAVAILABLE, False),
        (ServerError("HTTP 502", status_code=502), Suspicion.UNAVAILABLE, False),
        (ServerError("HTTP 521", status_code=521), Suspicion.UNAVAILABLE, False),
        (ServerError("HTTP 500", status_code=500), Suspicion.UNCERTAIN, False),
        (ServerError("HTTP 504", status_code=504), Suspicion.UNCERTAIN, False),
        (NetworkError("reset"), Suspicion.UNCERTAIN, False),
        (DeadlineExceeded("no whole reply"), Suspicion.UNCERTAIN, False),
        (MalformedReply("HTML", status_code=200), Suspicion.UNCERTAIN, False),
        (RateLimited("HTTP 429", status_code=429), None, True),
        (RequestRefused("HTTP 400", status_code=400), None, True),
        (ConfigError("HTTP 404", status_code=404), None, True),
        (AuthError("HTTP 401", status_code=401), None, True),
        (QuotaError("HTTP 402", status_code=402), None, True),
        (NoFileLeft("too many open files"), None, False),
        (EndpointUnusable("forbidden address"), None, False),
        (InternalError("a defect"), None, False),
    ],
)
def test_each_error_says_something_for_or_against_the_target_or_nothing(
    error: ProviderError, suspicion: Suspicion | None, *, is_life: bool
) -> None:
    assert suspicion_of(error) is suspicion
    assert shows_life(error) is is_life


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (Unreachable("refused"), UNAVAILABLE_IN_A_ROW),
        (Overloaded("HTTP 503"), UNAVAILABLE_IN_A_ROW),
        (ServerError("HTTP 500", status_code=500), PROMPTS_IN_A_ROW),
        (DeadlineExceeded("no whole reply"), PROMPTS_IN_A_ROW),
    ],
)
def test_failures_in_a_row_are_an_outage_which_excuses_them_all(
    error: ProviderError, most: int
) -> None:
    target = Liveness()
    blames = one_after_the_other(target, error, most)
    assert blames == [Blame.OPEN] * (most - 1) + [Blame.TARGET]
    assert target.away is not None
    assert target.away.reason == error.message
    assert target.excused() == list(range(most))
    assert target.excused() == []


def test_one_prompt_that_fails_again_and_again_is_no_outage_unless_the_server_says_so() -> None:
    target = Liveness()
    for attempt in range(20):
        target.began("prompt", float(attempt))
        assert failed(target, "prompt", ServerError("500", status_code=500)) is Blame.OPEN
    assert target.away is None
    target = Liveness()
    for attempt in range(UNAVAILABLE_IN_A_ROW):
        target.began("prompt", float(attempt))
        failed(target, "prompt", Overloaded("503"))
    assert target.away is not None


def test_a_prompt_that_failed_while_others_were_answered_proves_no_outage() -> None:
    target = Liveness()
    for attempt in range(20):
        target.began("prompt", float(attempt))
        assert failed(target, "prompt", Overloaded("503"), proved=True) is Blame.PROMPT
    # That nothing was reached is no prompt's fault.
    for attempt in range(UNAVAILABLE_IN_A_ROW):
        target.began("prompt", 100.0 + attempt)
        failed(target, "prompt", Unreachable("refused"), proved=True)
    assert target.away is not None


def test_an_answer_to_a_call_that_was_sent_later_proves_the_failures_to_be_the_prompts() -> None:
    target = Liveness()
    for call in range(3):
        target.began(call, float(call))
    assert failed(target, 0, Overloaded("503"), now=3.0) is Blame.OPEN
    target.began("later", 4.0)
    assert failed(target, 1, Overloaded("503"), now=5.0) is Blame.OPEN
    undecided = [target.is_undecided]
    assert target.answered("later") == [0]
    assert target.answered(2) == []
    undecided.append(target.is_undecided)
    assert undecided == [True, False]
    target.began("last", 6.0)
    assert target.answered("last") == [1]
    assert target.away is None


def test_answers_to_calls_that_were_sent_before_prove_nothing() -> None:
    """A server that shuts down answers what it has begun, and takes no more."""
    target = Liveness()
    for call in range(10):
        target.began(call, float(call))
    blames = []
    for call, at in zip(range(10), count(20), strict=False):
        assert target.answered(call) == []
        target.began(("late", call), float(at))
        blames.append(failed(target, ("late", call), Unreachable("refused"), now=at + 0.5))
    assert blames[:3] == [Blame.OPEN, Blame.OPEN, Blame.TARGET]
    assert target.away is not None


@pytest.mark.parametrize("answered", [0, 40, 99])
def test_all_that_is_in_flight_when_it_goes_away_is_excused(answered: int) -> None:
    """Whichever was answered last before that."""
    target = Liveness()
    for call in range(100):
        target.began(call, call * 0.01)
    target.answered(answered)
    others = [call for call in range(100) if call != answered]
    error = NetworkError("the reply broke off")
    blames = [failed(target, call, error, now=2.0) for call in others]
    # As soon as more have failed than may yet be answered.
    assert blames == [Blame.OPEN] * 49 + [Blame.TARGET] * 50
    assert target.excused() == others[:50]


def test_answers_to_calls_that_were_sent_with_the_failed_ones_speak_against_an_outage() -> None:
    """As at the start, where a provider of which little is known gets no more calls yet."""
    target = Liveness()
    for call in range(60):
        target.began(call, call * 0.001)
    for call in range(0, 60, 10):
        assert failed(target, call, Overloaded("503"), now=1.0) is Blame.OPEN
    for call in (call for call in range(60) if call % 10):
        target.answered(call)
    target.began("another", 2.0)
    assert failed(target, "another", Overloaded("503"), now=3.0) is Blame.OPEN
    assert target.away is None


def test_a_few_failures_are_no_outage_while_more_calls_may_tell() -> None:
    target = Liveness()
    target.began("first", 0.0)
    assert failed(target, "first", Overloaded("503"), now=0.5) is Blame.OPEN
    for call in range(100):
        target.began(call, 1.0 + call)
    blames = [failed(target, call, Overloaded("503"), now=200.0) for call in range(50)]
    assert blames == [Blame.OPEN] * 49 + [Blame.TARGET]


def test_while_it_is_away_every_failure_is_its_own_and_an_answered_probe_ends_it() -> None:
    target = Liveness()
    one_after_the_other(target, Unreachable("refused"), 3)
    target.began("probe", 10.0)
    error = RequestRefused("HTTP 400")
    assert shows_life(error)
    target.began("old", 1.0)
    assert failed(target, "old", ServerError("500", status_code=500)) is Blame.TARGET
    target.answered("probe")
    assert target.away is None


def test_an_old_call_that_is_answered_does_not_end_an_outage() -> None:
    target = Liveness()
    target.began("old", -1.0)
    one_after_the_other(target, Unreachable("refused"), 3)
    target.answered("old")
    assert target.away is not None


def test_calls_that_were_in_flight_in_an_outage_are_excused_when_they_fail_after_it() -> None:
    target = Liveness()
    for call in range(9):
        target.began(call, 0.0)
    target.begin_outage(Away("refused", since=0.0, next_probe=1.0), 1.0)
    target.end_outage(5.0)
    late = {failed(target, call, Unreachable("refused"), now=6.0) for call in range(9)}
    assert late == {Blame.TARGET}
    assert target.away is None
    target.began("new", 7.0)
    assert failed(target, "new", ServerError("500"), now=8.0) is Blame.OPEN


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (None, [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]),
        (6.0, [6.0, 6.0, 6.0, 8.0, 15.0, 15.0]),
        (3600.0, [60.0] * 6),
    ],
)
def test_probes_wait_longer_each_time_and_as_long_as_the_provider_asks_up_to_a_minute(
    asked: float | None, waits: list[float]
) -> None:
    error = Overloaded("503", retry_after_s=asked)
    assert [Patience().wait_s(error, probes) for probes in range(6)] == waits


@given(st.data())
def test_a_target_is_never_thought_away_while_newer_calls_are_answered(data: st.DataObject) -> None:
    """Whatever share fails, in whatever order: calls that overlap and of which each second one is
    answered, in the order in which they were sent."""
    target, clock = Liveness(), count()
    window = data.draw(st.integers(1, 20))
    in_flight: list[int] = []
    for number in range(60):
        target.began(number, float(next(clock)))
        in_flight.append(number)
        if len(in_flight) < window:
            continue
        call = in_flight.pop(0)
        if call % 2:
            target.answered(call)
        else:
            error = data.draw(st.sampled_from([Unreachable(""), Overloaded(""), ServerError("")]))
            assert failed(target, call, error, now=float(next(clock))) is not Blame.TARGET
    assert target.away is None
