"""Prompts that are asked of stronger models: what is stored, counted and paid for."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from batches.actions import batches as batch_actions
from batches.actions.option_checks import NoPrice
from batches.actions.options import Pilot
from batches.ending.pilot import pilot_report
from batches.ending.summary import summarise
from batches.engine.endpoints import CHAT
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema
from batches.engine.records import Usage
from batches.limits.asked_models import asked_in, cost_of_asked
from batches.limits.escalation import Escalation
from batches.limits.prices import cost_of, price_list_of
from batches.models import Batch, Provider, Result
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import MODEL, batch_of
from tests.runner.test_structured_output import SCHEMA
from tests.runners import ended, run_with

LARGE, TOP = "simulated-large", "simulated-top"
PRICES = {
    MODEL: {"input": 1, "output": 2},
    LARGE: {"input": 100, "output": 200},
    TOP: {"input": 1000, "output": 2000},
}
DEFAULTS = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=SCHEMA)
# Tokens are counted as long as they have a limit.
COUNTING = Behaviour(tokens_per_second=1e12, announce_limits=False)


def bad(*models: str, form: str = "not_json") -> str:
    """Directives by which these models give an answer that fails."""
    return " ".join(f"[simulate: answer={form} model={model}]" for model in models)


def made(provider: Provider, texts: list[str], *models: str, **changes: Any) -> Batch:
    steps = [Escalation(model=model) for model in models or (LARGE,)]
    values = {"defaults": DEFAULTS, "max_repair_attempts": 0, "escalate": steps, **changes}
    return batch_of(provider, texts, **values)


def results(batch: Batch) -> list[Result]:
    return list(Result.objects.filter(batch=batch).order_by("index"))


def asked(result: Result) -> list[tuple[str, str | None, int]]:
    return [(one.model, one.kind, one.calls) for one in asked_in(result.escalation)]


@pytest.fixture
def priced(provider: Provider) -> Provider:
    provider.prices = PRICES
    provider.save()
    return provider


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_four_runners_store_one_outcome_for_each_prompt_and_count_every_call(
    priced: Provider, simulator: SimulatedProvider, schedule: str
) -> None:
    simulator.behaviour = COUNTING
    ends: list[tuple[str, ...]] = [(), (MODEL,), (MODEL, LARGE), (MODEL, LARGE, TOP)]
    texts = [f"prompt {number} {bad(*ends[number % 4])}" for number in range(80)]
    batch = made(priced, texts, LARGE, TOP, batch_size=8, parallelism=4, schedule=schedule)
    run_with(4, batch)
    check_batch(batch)
    assert (batch.succeeded, batch.failed, batch.calls) == (60, 20, 180)
    assert simulator.by_model == {MODEL: 80, LARGE: 60, TOP: 40}
    assert batch.input_tokens + batch.output_tokens == simulator.tokens
    prices, cost = price_list_of(priced), Decimal(0)
    for number, result in enumerate(results(batch)):
        usage = Usage(result.input_tokens, result.output_tokens)
        models = asked_in(result.escalation)
        names = [MODEL, LARGE, TOP, TOP][: number % 4 + 1]
        assert [one.model for one in models] == ([] if number % 4 == 0 else names[:3])
        if models:
            assert sum((one.usage for one in models), Usage()) == usage
            assert models[-1].kind == (result.kind or None)
            assert json.loads(result.body or "")["model"] == models[-1].model
        cost += cost_of_asked(prices, models) or prices.cost(MODEL, usage) or 0
    assert batch.cost == cost
    summary = summarise(batch)
    assert (summary.escalated, summary.escalated_succeeded) == (60, 40)


def test_a_result_says_what_was_spent_on_each_model(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    # The corrected question is another prompt for the simulated provider, with the directive.
    texts = ["plain", f"one {bad(MODEL)}", f"two {bad(MODEL, LARGE, form='refusal')}"]
    batch = ended(made(provider, texts, max_repair_attempts=1))
    check_batch(batch)
    first, second, third = results(batch)
    assert (first.escalation, asked(first)) == (None, [])
    assert asked(second) == [(MODEL, "not_json", 2), (LARGE, None, 1)]
    assert asked(third) == [(MODEL, "refusal", 1), (LARGE, "refusal", 1)]
    assert (second.status, second.rung, second.calls) == ("succeeded", "parsed", 3)
    assert (third.status, third.kind, third.calls) == ("failed", "refusal", 2)
    assert simulator.by_model == {MODEL: 4, LARGE: 2}


def test_a_stronger_model_that_does_not_exist_leaves_the_answer_below(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=(MODEL,))
    batch = ended(made(provider, ["a", f"b {bad(MODEL)}"]))
    check_batch(batch)
    _, result = results(batch)
    assert (result.kind, result.calls) == ("not_json", 2)
    assert f"; asking {LARGE} failed: " in result.message
    assert "does not exist" in result.message
    assert asked(result) == [(MODEL, "not_json", 1), (LARGE, "config", 1)]


def test_each_model_has_limits_of_its_own(provider: Provider, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(requests_per_second=1e6)
    ended(made(provider, [f"{number} {bad(MODEL)}" for number in range(3)]))
    provider.refresh_from_db()
    assert set(provider.announced_limits or {}) == {MODEL, LARGE}


def test_a_budget_counts_what_the_stronger_model_costs(
    priced: Provider, simulator: SimulatedProvider
) -> None:
    texts = [f"prompt {number} {bad(MODEL)}" for number in range(40)]
    # More than all calls to the small model, and much less than those to the large one.
    batch = made(priced, texts, max_cost=0.02, batch_size=2)
    assert not run_slice(batch.pk).ended
    batch.refresh_from_db()
    assert "spending limit of $0.02 reached" in batch.pause_reason
    assert 0 < batch.succeeded < 40
    assert batch.cost >= Decimal("0.02")


def test_a_budget_needs_the_price_of_each_model(provider: Provider) -> None:
    provider.prices = {MODEL: PRICES[MODEL]}
    provider.save()
    with pytest.raises(NoPrice, match=f"price of '{LARGE}'") as caught:
        made(provider, ["a"], max_cost=1)
    assert caught.value.param == "max_cost"
    assert not Batch.objects.exists()
    batch = ended(made(provider, ["a"]))
    assert batch.cost
    assert cost_of(batch) is None


@pytest.mark.parametrize(
    ("models", "listed", "says"),
    [
        ([MODEL], [], r"'escalate\[0\].model': 'simulated-small' is asked before already"),
        ([LARGE, LARGE], [], r"'escalate\[1\].model': 'simulated-large' is asked before already"),
        ([LARGE], [MODEL, "simulated-larg"], r"Did you mean 'simulated-larg'\?"),
    ],
)
def test_a_model_that_cannot_be_above_the_others_is_refused(
    provider: Provider, models: list[str], listed: list[str], says: str
) -> None:
    provider.model_names = listed
    with pytest.raises(PromptRejected, match=says):
        made(provider, ["a"], *models)
    assert not Batch.objects.exists()


def test_a_retry_begins_with_the_first_model(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = ended(made(provider, ["a [simulate: answer=not_json times=2]", "b"]))
    assert (batch.failed, simulator.by_model) == (1, {MODEL: 2, LARGE: 1})
    summary = summarise(batch)
    assert (summary.escalated, summary.escalated_succeeded) == (1, 0)
    batch = ended(batch_actions.retry_batch(batch))
    check_batch(batch)
    assert (batch.succeeded, batch.calls, simulator.by_model) == (2, 4, {MODEL: 3, LARGE: 1})
    summary = summarise(batch)
    assert (summary.escalated, summary.escalated_succeeded) == (0, 0)


def test_the_answer_of_the_stronger_model_is_used_again(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    text = f"a {bad(MODEL)}"
    batch = ended(made(provider, [text] * 3, reuse="owner"))
    check_batch(batch)
    assert (batch.succeeded, batch.reused, batch.calls) == (3, 2, 2)
    assert simulator.by_model == {MODEL: 1, LARGE: 1}
    assert [bool(result.escalation) for result in results(batch)] == [True, False, False]
    assert ended(made(provider, [text], reuse="owner")).reused == 1
    # Other models may give other answers.
    assert ended(made(provider, [text], TOP, reuse="owner")).reused == 0
    assert ended(made(provider, [text], reuse="owner", escalate=[])).reused == 0


def test_a_pilot_projects_the_cost_of_all_models(priced: Provider) -> None:
    texts = [f"prompt {number:2} {bad(MODEL)}" for number in range(20)]
    batch = made(priced, texts, pilot=Pilot(rows=4), batch_size=5)
    run_slice(batch.pk)
    batch.refresh_from_db()
    report = pilot_report(batch)
    assert report is not None
    assert report.cost is not None
    assert report.prompts == 4
    assert report.cost.likely == pytest.approx(5 * float(batch.cost), rel=0.01)
    assert report.fits == 1.0


def test_a_cancelled_batch_begins_with_the_first_model_when_it_is_retried(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = made(provider, [f"{number} {bad(MODEL)}" for number in range(4)], batch_size=1)
    batch_actions.cancel_batch(batch)
    check_batch(batch, status="cancelled")
    kinds = Counter(result.kind for result in results(batch))
    assert kinds == {"cancelled": 4}
    again = ended(batch_actions.retry_batch(batch))
    check_batch(again)
    assert again.succeeded == 4
