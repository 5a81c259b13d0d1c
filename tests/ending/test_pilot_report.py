"""The report on a pilot, and the rules that open its gate."""

from decimal import Decimal
from typing import Any

import pytest

from batches.actions import batches as batch_actions
from batches.actions.options import Pilot
from batches.ending.pilot import pilot_report
from batches.engine.endpoints import CHAT
from batches.engine.prepare import with_response_schema
from batches.limits.rules import Rules
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.checker import check_batch
from tests.makers import MODEL, batch_of

# A dollar for a thousand tokens.
PRICES = {MODEL: {"input": 1000, "output": 1000}}
FAILING = "[simulate: status=400]"


@pytest.fixture
def priced(provider: Provider) -> Provider:
    provider.prices = PRICES
    provider.save()
    return provider


def run(provider: Provider, texts: Any, *, rows: int = 4, rules: Any = None, **more: Any) -> Batch:
    pilot = Pilot(rows=rows, continue_when=rules)
    batch = batch_of(provider, texts, batch_size=5, pilot=pilot, **more)
    run_slice(batch.pk)
    batch.refresh_from_db()
    return batch


def test_a_report_has_the_figures_of_the_pilot(priced: Provider) -> None:
    texts = [f"{number} {FAILING if number == 7 else ''}" for number in range(20)]
    batch = run(priced, texts)
    report = pilot_report(batch)
    assert report
    assert (report.prompts, report.failed, report.failures) == (4, 1, {"request": 1})
    tokens = batch.input_tokens + batch.output_tokens
    assert report.tokens_per_row == tokens / 4
    assert report.cost_per_row == pytest.approx(float(batch.cost) / 4)
    assert report.tokens
    assert report.tokens.likely == pytest.approx(5 * tokens)
    assert report.cost
    assert report.cost.low < report.cost.likely < report.cost.high
    assert report.cost.likely == pytest.approx(5 * float(batch.cost))
    assert report.expected_s
    assert report.fits is None
    assert batch.pause_reason == f"{report}; resume to go on"
    assert "1 failed, about $" in batch.pause_reason
    assert batch.pause_reason.endswith(" for all 20 prompts; resume to go on")


def test_it_says_the_same_each_time_and_after_the_gate(priced: Provider) -> None:
    batch = run(priced, 20)
    first = pilot_report(batch)
    batch_actions.resume_batch(batch)
    assert run_slice(batch.pk).ended
    batch.refresh_from_db()
    after = pilot_report(batch)
    assert first
    assert after
    # What is left to do has changed, and the share of cached tokens may.
    assert (first.prompts, first.tokens) == (after.prompts, after.tokens)
    assert after.expected_s is None


def test_the_share_of_answers_that_fit_a_schema(provider: Provider) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    defaults = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=schema)
    unfit = "[simulate: answer=not_json]"
    texts = [unfit if number in {2, 3} else f"prompt {number}" for number in range(20)]
    batch = run(provider, texts, defaults=defaults, max_repair_attempts=0)
    report = pilot_report(batch)
    assert report
    assert (report.fits, report.failures) == (0.75, {"not_json": 1})
    assert ("fits its schema", "75.0%") in list(report.rows())


def test_without_a_price_the_tokens_are_projected(provider: Provider) -> None:
    batch = run(provider, 20)
    report = pilot_report(batch)
    assert report
    assert report.cost is None
    assert "tokens (" in batch.pause_reason


def test_prompts_with_models_of_their_own_have_their_prices(provider: Provider) -> None:
    provider.prices = {"a": {"input": 1000, "output": 1000}, "b": {"input": 0, "output": 0}}
    provider.save()
    batch = batch_of(provider, 20, pilot=Pilot(rows=4))
    for prompt in batch.prompts.all():
        prompt.body = prompt.body[:-1] + f', "model": "{"ab"[prompt.index % 2]}"}}'
        prompt.save()
    Batch.objects.update(model="")
    run_slice(batch.pk)
    batch.refresh_from_db()
    report = pilot_report(batch)
    assert report
    assert report.cost_per_row == pytest.approx(float(batch.cost) / 4)
    assert batch.cost > 0


def test_nothing_is_reported_without_a_result_or_a_gate(provider: Provider) -> None:
    assert pilot_report(batch_of(provider, 5, pilot=Pilot(rows=2))) is None
    assert pilot_report(batch_of(provider, 5)) is None
    assert pilot_report(run(provider, 5, rows=5)) is None


@pytest.mark.parametrize(
    "rules", [{}, {"max_failed": 0.25}, {"max_failed": 0.25, "max_cost_per_row": 10}]
)
def test_the_gate_opens_by_itself_if_all_rules_hold(
    priced: Provider, simulator: SimulatedProvider, rules: dict[str, float]
) -> None:
    texts = [f"{number} {FAILING if number == 7 else ''}" for number in range(20)]
    pilot = Pilot(rows=4, continue_when=Rules.model_validate(rules))
    batch = batch_of(priced, texts, batch_size=5, pilot=pilot)
    report = run_slice(batch.pk)
    assert report.opened_gate
    assert report.pause_reason == ""
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert simulator.calls.total() == 20


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"max_failed": 0.2}, "1 of 4 prompts failed (25.00%), more than max_failed of 0.2"),
        ({"max_failed": 1, "max_cost_per_row": 0.001}, "more than max_cost_per_row of 0.001"),
    ],
)
def test_a_broken_rule_is_in_the_reason(
    priced: Provider, simulator: SimulatedProvider, rules: dict[str, float], reason: str
) -> None:
    texts = [f"{number} {FAILING if number == 7 else ''}" for number in range(20)]
    batch = run(priced, texts, rules=Rules.model_validate(rules))
    assert batch.pause_kind == "pilot"
    assert reason in batch.pause_reason
    assert simulator.calls.total() == 4
    # A user may go on all the same.
    batch_actions.resume_batch(batch)
    assert run_slice(batch.pk).ended
    check_batch(batch)


def test_a_cost_cannot_be_judged_without_a_price(provider: Provider) -> None:
    batch = run(provider, 20)
    Batch.objects.update(
        continue_when={"max_cost_per_row": 1}, pause_reason="", pause_kind="", cost=Decimal(0)
    )
    run_slice(batch.pk)
    batch.refresh_from_db()
    assert "no price is known" in batch.pause_reason
