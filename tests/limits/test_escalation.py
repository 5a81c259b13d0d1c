"""The stronger models of a batch as a text, and what the calls to several models cost."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from batches.engine.errors import FailureKind
from batches.engine.records import ANSWER_KINDS, USUAL_KINDS, AskedModel, EscalationStep, Usage
from batches.limits.asked_models import asked_in, asked_text, cost_of_asked
from batches.limits.escalation import (
    Escalation,
    escalation_in,
    escalations_in,
    escalations_of,
    steps_of,
    stored_escalations,
)
from batches.limits.prices import PriceList
from batches.models.bounds import MAX_MODEL_CHARS

USUAL = set(USUAL_KINDS)


@pytest.mark.parametrize(
    ("text", "model", "kinds"),
    [
        ("strong", "strong", USUAL),
        (" strong ", "strong", USUAL),
        ("strong:refusal", "strong", {"refusal"}),
        ("strong:refusal, empty", "strong", {"refusal", "empty"}),
        ("llama3:70b", "llama3:70b", USUAL),
        ("llama3:70b:not_json", "llama3:70b", {"not_json"}),
        ("vendor/model:free", "vendor/model:free", USUAL),
        ("odd:refusal:refusal", "odd:refusal", {"refusal"}),
    ],
)
def test_a_step_is_a_model_and_kinds(text: str, model: str, kinds: set[str]) -> None:
    step = escalation_in(text)
    assert (step.model, set(step.when)) == (model, kinds)
    assert escalation_in(str(step)) == step


@pytest.mark.parametrize(
    "model", ["a", "a:70b", "a:refusal", "a:refusal,x", "a:", ":a", "a:refusl"]
)
@pytest.mark.parametrize("kinds", [list(USUAL_KINDS), ["empty"], list(ANSWER_KINDS)])
def test_every_step_can_be_written_and_read(model: str, kinds: Any) -> None:
    step = Escalation(model=model, when=kinds)
    assert escalation_in(str(step)) == step


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'model': an empty string"),
        ("  ", "'model': an empty string"),
        (":refusal", "'model': an empty string"),
        ("strong:", "'when[0]': ''. Supported values are: 'schema_violation'"),
        ("strong:refusl", "'when[0]': 'refusl'. Supported values are: "),
        ("strong:refusal,timeout", "'when[1]': 'timeout'. Supported values are: "),
        ("x" * (MAX_MODEL_CHARS + 1), "at most 255 characters"),
        ("half \ud800", "half of a surrogate pair"),
    ],
)
def test_a_step_that_cannot_be_is_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        escalation_in(text)
    assert says in str(caught.value)


def test_steps_stand_in_lines() -> None:
    assert [step.model for step in escalations_in("a\n\n b:empty \n")] == ["a", "b"]
    with pytest.raises(ValueError, match=r"^line 2: Invalid value for 'when"):
        escalations_in("a\nb:refusl")


def test_steps_are_stored_with_all_their_kinds() -> None:
    stored = stored_escalations([Escalation(model="a"), Escalation(model="b", when=["empty"])])
    assert stored == [
        {"model": "a", "when": sorted(USUAL_KINDS)},
        {"model": "b", "when": ["empty"]},
    ]
    assert steps_of(stored) == (EscalationStep("a"), EscalationStep("b", frozenset({"empty"})))
    assert stored_escalations(escalations_of(stored)) == stored
    assert (stored_escalations([]), steps_of(None), escalations_of(None)) == (None, (), [])


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"there is no 'kinds'.*'model', 'when'"):
        Escalation.model_validate({"model": "a", "kinds": ["empty"]})


def test_the_models_that_were_asked_are_stored_and_read() -> None:
    asked = (
        AskedModel("a\0", FailureKind.NOT_JSON, 2, Usage(10, 5, cached_tokens=4)),
        AskedModel("b" * 400, None, 1, Usage(3, 2)),
    )
    text = asked_text(asked)
    assert text is not None
    assert "\\u0000" not in text
    first, second = asked_in(text)
    assert (first.kind, first.calls, first.usage) == (asked[0].kind, 2, asked[0].usage)
    assert (second.kind, second.model) == (None, "b" * MAX_MODEL_CHARS)
    assert (asked_text(()), asked_in(None)) == (None, [])


def test_each_model_has_its_own_price() -> None:
    prices = PriceList("http://127.0.0.1/v1", {"a": {"input": 1, "output": 2, "cached": 0.5}})
    cheap = AskedModel("a", FailureKind.EMPTY, 1, Usage(10, 5, cached_tokens=4))
    failed = AskedModel("b", FailureKind.SERVER, 1, Usage())
    dear = AskedModel("b", None, 1, Usage(1, 1))
    assert cost_of_asked(prices, [cheap, failed]) == Decimal("0.000018")
    assert cost_of_asked(prices, [cheap, dear]) is None
