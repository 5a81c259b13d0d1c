"""A judge sees two answers in an order that says nothing, and its judgements are read."""

import json
from typing import Any

import pytest

from batches.comparison.judging import (
    JUDGES,
    QUESTION,
    SAME,
    SCHEMA,
    is_swapped,
    judge_prompts,
    judged_ids,
    judgement_figures,
)
from batches.errors import NotPossible
from batches.models import Batch, Provider
from tests.comparison.makers import OPEN, answered_batch

pytestmark = pytest.mark.django_db

IDS = [f"r{n}" for n in range(60)]


@pytest.fixture
def pair(provider: Provider) -> list[Batch]:
    return [answered_batch(provider, {key: {"label": one} for key in IDS}) for one in ("A", "B")]


def judged(provider: Provider, pair: list[Batch], choices: dict[str, Any]) -> Batch:
    """A judging batch with these choices: the place of the better batch, or another answer."""
    answers = {}
    for custom_id, choice in choices.items():
        if choice in (0, 1):
            choice = {"better": ("first", "second")[choice != is_swapped(custom_id)]}  # noqa: PLW2901 - as the judge says it
        answers[custom_id] = choice
    return answered_batch(provider, answers, metadata={JUDGES: judged_ids(pair)})


def test_prompts_show_both_answers_in_an_order_by_custom_id(pair: list[Batch]) -> None:
    prompts = list(judge_prompts(pair))
    assert [prompt.custom_id for prompt in prompts] == IDS
    assert [prompt.body for prompt in judge_prompts(pair)] == [prompt.body for prompt in prompts]
    orders = set()
    for prompt in prompts:
        [message] = json.loads(prompt.body)["messages"]
        answers = [json.dumps({"label": one}, separators=(",", ":")) for one in ("A", "B")]
        swapped = is_swapped(prompt.custom_id)
        first, second = reversed(answers) if swapped else answers
        assert message["content"] == QUESTION.format(
            request=prompt.custom_id, first=first, second=second
        )
        orders.add(swapped)
    assert orders == {True, False}
    assert 15 < sum(map(is_swapped, IDS)) < 45


def test_only_what_both_answered_in_different_ways_is_judged(provider: Provider) -> None:
    first = answered_batch(
        provider, {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}, "d": {"x": 1}, "e": OPEN}
    )
    second = answered_batch(
        provider, {"a": {"x": 1}, "b": {"x": 2}, "c": ValueError("server"), "e": {"x": 1}}
    )
    assert [prompt.custom_id for prompt in judge_prompts([first, second])] == ["b"]


def test_judgements_name_the_better_batch(provider: Provider, pair: list[Batch]) -> None:
    choices: dict[str, Any] = dict.fromkeys(IDS, 1)
    choices |= dict.fromkeys(IDS[:10], 0) | {key: {"better": SAME} for key in IDS[10:20]}
    choices["r20"], choices["r21"] = ValueError("server"), OPEN
    found = judgement_figures(judged(provider, pair, choices), pair)
    assert (found.rows, found.failed, found.best) == (58, 1, 1)
    first, second = found.better
    assert first is not None
    assert second is not None
    assert found.same is not None
    assert (first.value, second.value, found.same.value) == (10 / 58, 38 / 58, 10 / 58)
    assert found.difference is not None
    assert found.difference.value == 28 / 58


def test_between_equal_batches_no_difference_is_shown(
    provider: Provider, pair: list[Batch]
) -> None:
    choices = {custom_id: n % 2 for n, custom_id in enumerate(IDS)}
    assert judgement_figures(judged(provider, pair, choices), pair).best is None


def test_a_judge_that_prefers_a_place_is_noticed(provider: Provider, pair: list[Batch]) -> None:
    biased = answered_batch(
        provider,
        {key: {"better": "first"} for key in IDS},
        metadata={JUDGES: judged_ids(pair)},
    )
    found = judgement_figures(biased, pair)
    assert found.best is None
    assert found.shown_first is not None
    assert found.shown_first.low > 0.9


def test_another_answer_is_no_judgement(provider: Provider, pair: list[Batch]) -> None:
    answers = {"r0": {"better": "neither"}, "r1": [1], "r2": {}}
    judge = answered_batch(provider, answers, metadata={JUDGES: judged_ids(pair)})
    found = judgement_figures(judge, pair)
    assert (found.rows, found.failed, found.difference, found.best) == (0, 3, None, None)


def test_a_judge_of_other_batches_is_refused(provider: Provider, pair: list[Batch]) -> None:
    judge = judged(provider, pair, {"r0": 1})
    for others in (pair[::-1], [judge, pair[0]]):
        with pytest.raises(NotPossible, match="does not judge these batches"):
            judgement_figures(judge, others)
    with pytest.raises(NotPossible, match="name two"):
        judged_ids([*pair, judge])


def test_the_schema_has_what_is_read() -> None:
    assert SCHEMA["properties"] == {"better": {"enum": ["first", "second", "same"]}}
