"""What is refused is held back until it is known whose fault it is."""

import pytest

from batches.engine.errors import (
    AccessRefused,
    ConfigError,
    NotAnApi,
    ProviderError,
    RequestRefused,
    ServerError,
)
from batches.engine.records import Exchange
from batches.engine.refusals import (
    FORBIDDEN_TO_PAUSE,
    MOST_HELD,
    REFUSALS_TO_PAUSE,
    Refusals,
    Ruling,
)
from tests.engine.makers import exchange, request

# When the exchanges of the makers ended.
DONE_AT = 102.0


def refused(error: ProviderError, index: int = 0, model: str = "some-model") -> Exchange:
    return exchange(request(index, model=model), error=error)


def missing() -> ConfigError:
    return ConfigError("HTTP 404: no such model", status_code=404)


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (AccessRefused("HTTP 403"), FORBIDDEN_TO_PAUSE),
        (missing(), REFUSALS_TO_PAUSE),
        (RequestRefused("HTTP 400"), REFUSALS_TO_PAUSE),
    ],
)
def test_so_many_in_a_row_are_the_fault_of_the_setup(error: ProviderError, most: int) -> None:
    refusals = Refusals()
    rulings = [refusals.weigh(refused(error, index)) for index in range(most)]
    assert rulings == [Ruling.HELD] * (most - 1) + [Ruling.PAUSE]
    assert refusals.release() == []


def test_what_is_no_refusal_is_final() -> None:
    assert Refusals().weigh(refused(ServerError("HTTP 500"))) is Ruling.FINAL


@pytest.mark.parametrize("error", [AccessRefused("HTTP 403"), missing()])
def test_an_answer_to_a_later_call_shows_that_it_was_the_prompt(error: ProviderError) -> None:
    refusals = Refusals()
    failure = refused(error)
    refusals.weigh(failure)
    refusals.disprove("another-model", sent_at=DONE_AT + 1)
    assert refusals.release() == []
    refusals.disprove("some-model", sent_at=DONE_AT + 1)
    assert refusals.release() == [failure]
    assert refusals.release() == []


@pytest.mark.parametrize("error", [AccessRefused("HTTP 403"), missing()])
def test_an_answer_to_an_earlier_call_shows_nothing(error: ProviderError) -> None:
    # The key may have been revoked, or the model withdrawn, while that call was on its way.
    refusals = Refusals()
    refusals.disprove("some-model", sent_at=1.0)
    refusals.weigh(refused(error))
    refusals.disprove("some-model", sent_at=DONE_AT - 1)
    assert refusals.release() == []


def test_a_model_that_vanishes_in_mid_run_fails_no_prompt() -> None:
    refusals = Refusals()
    refusals.disprove("some-model", sent_at=1.0)
    rulings = {refusals.weigh(refused(missing(), index)) for index in range(REFUSALS_TO_PAUSE)}
    assert rulings == {Ruling.HELD, Ruling.PAUSE}
    assert refusals.release() == []


def test_a_model_that_nobody_has_does_not_hide_behind_one_that_answers() -> None:
    refusals = Refusals()
    for index in range(REFUSALS_TO_PAUSE - 1):
        refusals.weigh(refused(missing(), index, model="no-model"))
        refusals.disprove("some-model", sent_at=DONE_AT + index)
    assert refusals.release() == []
    assert refusals.weigh(refused(missing(), 99, model="no-model")) is Ruling.PAUSE


def test_a_request_that_is_refused_is_at_fault_once_others_are_answered() -> None:
    refusals = Refusals()
    first = refused(RequestRefused("HTTP 400"))
    refusals.weigh(first)
    # Sent before or after: it is no matter of a set-up that may have changed meanwhile.
    refusals.disprove("some-model", sent_at=1.0)
    assert refusals.release() == [first]
    assert refusals.weigh(refused(RequestRefused("HTTP 400"))) is Ruling.FINAL


def test_who_trusts_the_provider_takes_its_word() -> None:
    refusals = Refusals(trusting=True)
    assert refusals.weigh(refused(RequestRefused("HTTP 400"))) is Ruling.FINAL
    assert refusals.weigh(refused(AccessRefused("HTTP 403"))) is Ruling.HELD


def test_many_refusals_for_many_reasons_are_the_prompts() -> None:
    refusals = Refusals()
    failures = [refused(RequestRefused("no", code=f"reason {n}"), n) for n in range(MOST_HELD)]
    for failure in failures:
        assert refusals.weigh(failure) is Ruling.HELD
    assert refusals.release() == failures
    assert refusals.weigh(refused(RequestRefused("no", code="reason"))) is Ruling.FINAL


def test_at_the_end_a_403_that_nothing_disproved_is_the_key() -> None:
    refusals = Refusals(answered_before=True)
    refusals.weigh(refused(missing()))
    forbidden = AccessRefused("HTTP 403")
    refusals.weigh(refused(forbidden, 1))
    assert refusals.end() is forbidden
    assert refusals.release() == []


@pytest.mark.parametrize("prompts", [1, 2, 3, REFUSALS_TO_PAUSE - 1])
def test_at_the_end_a_missing_model_is_the_set_up_if_no_prompt_was_answered(prompts: int) -> None:
    refusals = Refusals()
    for index in range(prompts):
        assert refusals.weigh(refused(missing(), index)) is Ruling.HELD
    assert isinstance(refusals.end(), ConfigError)
    assert refusals.release() == []


@pytest.mark.parametrize("when", ["in this run", "in an earlier run"])
def test_at_the_end_a_few_missing_models_are_the_prompts_if_others_were_answered(
    when: str,
) -> None:
    refusals = Refusals(answered_before=when == "in an earlier run")
    if when == "in this run":
        refusals.disprove("another-model", sent_at=0.0)
    failure = refused(missing())
    refusals.weigh(failure)
    assert refusals.end() is None
    assert refusals.release() == [failure]


def test_at_the_end_a_few_refusals_are_the_prompts() -> None:
    refusals = Refusals()
    failures = [refused(RequestRefused("HTTP 422")), refused(RequestRefused("HTTP 400"), 1)]
    for failure in failures:
        refusals.weigh(failure)
    assert refusals.end() is None
    assert refusals.release() == failures


@pytest.mark.parametrize("answered_before", [False, True])
def test_at_the_end_web_pages_are_the_address_if_no_prompt_was_answered(
    *, answered_before: bool
) -> None:
    refusals = Refusals(answered_before=answered_before)
    page = refused(NotAnApi("HTTP 200 with a web page"))
    assert refusals.weigh(page) is Ruling.HELD
    assert refusals.end() is (None if answered_before else page.error)
    assert refusals.release() == ([page] if answered_before else [])
