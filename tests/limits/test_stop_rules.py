"""A batch pauses when its rules are broken, however many runners it has."""

from decimal import Decimal
from typing import Any

import pytest

from batches.actions import batches as batch_actions
from batches.actions.option_checks import NoPrice
from batches.limits.rules import LEAST_OUTCOMES, Rules, RuleWatch, RunFigures
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import MODEL, batch_of
from tests.runners import run_with

pytestmark = pytest.mark.django_db(transaction=True)

ALL, WINDOW = 200, 5
HALF_FAILS = [f"{n} {'[simulate: status=400]' if n % 2 else ''}" for n in range(ALL)]


def halted(provider: Provider, texts: Any = HALF_FAILS, *, runners: int = 1, **rules: Any) -> Batch:
    stop_when = Rules.model_validate(rules)
    options = {"batch_size": WINDOW, "parallelism": runners, "stop_when": stop_when}
    batch = batch_of(provider, texts, **options)
    run_with(runners, batch)
    return batch


@pytest.mark.parametrize("runners", [1, 4])
def test_a_broken_rule_pauses_the_batch_within_a_window(
    provider: Provider, simulator: SimulatedProvider, runners: int
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0.2,0.5")
    batch = halted(provider, runners=runners, max_failed=0.2)
    assert batch.pause_kind == "rule"
    assert batch.pause_reason.startswith("rule: ")
    assert "more than max_failed of 0.2" in batch.pause_reason
    # One window is in flight when another is stored; other runners look once a second.
    looked = 5 if runners > 1 else 2
    assert simulator.calls.total() <= LEAST_OUTCOMES + looked * runners * WINDOW
    assert batch.succeeded + batch.failed == simulator.calls.total() < ALL


def test_an_unchanged_rule_pauses_again_at_once_and_another_lets_it_end(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = halted(provider, max_failed=0.2)
    before = simulator.calls.total()
    batch_actions.resume_batch(batch)
    run_with(1, batch)
    assert (batch.pause_kind, simulator.calls.total()) == ("rule", before)
    # Most are as bad as before.
    batch_actions.resume_batch(batch, stop_when=Rules(max_failed=0.25))
    run_with(1, batch)
    assert "more than max_failed of 0.25" in batch.pause_reason
    batch_actions.resume_batch(batch, stop_when=Rules())
    assert batch.stop_when is None
    run_with(1, batch)
    check_batch(batch)
    assert simulator.calls.total() == ALL


def test_the_cost_of_a_prompt_is_bounded(provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 1000, "output": 1000}}
    provider.save()
    batch = halted(provider, 100, max_cost_per_row=0.001)
    assert "more than max_cost_per_row of 0.001" in batch.pause_reason
    assert batch.succeeded < 100


def test_a_cost_without_a_price_pauses_the_batch(provider: Provider) -> None:
    batch = batch_of(provider, 100, batch_size=WINDOW)
    Batch.objects.update(stop_when={"max_cost_per_row": 1})
    run_slice(batch.pk)
    batch.refresh_from_db()
    assert "no price is known for a model" in batch.pause_reason


def test_rules_that_hold_change_nothing(provider: Provider) -> None:
    batch = halted(provider, max_failed=0.6)
    check_batch(batch)
    assert batch.failed == ALL / 2


def test_a_bound_in_dollars_needs_a_price(provider: Provider) -> None:
    with pytest.raises(NoPrice, match="max_cost_per_row cannot be used") as refused:
        batch_of(provider, 3, stop_when=Rules(max_cost_per_row=1))
    assert refused.value.param == "stop_when"


def test_a_runner_adds_what_it_has_stored_since_its_last_look() -> None:
    watch, zero = RuleWatch(), Decimal(0)
    assert not watch.broken_by(RunFigures(100, 100, zero))
    watch.look(Rules(max_failed=0.1), RunFigures(50, 4, zero), mine=RunFigures(20, 2, zero))
    assert not watch.broken_by(RunFigures(20, 2, zero))
    assert "6 of 54 prompts failed" in watch.broken_by(RunFigures(24, 4, zero))
