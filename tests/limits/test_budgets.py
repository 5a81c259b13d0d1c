"""A batch spends its budget and what was in flight then, however many runners it has."""

from decimal import Decimal

import pytest
from django.db.models import F, Max, Sum

from batches.actions import batches as batch_actions
from batches.models import Batch, Provider, Result
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import MODEL, batch_of
from tests.receivers import receiving, url_of
from tests.runners import run_with
from tests.scripted_server import answer, chat

WINDOW = 4
ALL = 80
# A thousand dollars for a million tokens: a token costs a tenth of a cent.
PRICES = {MODEL: {"input": 1000, "output": 1000}}


def tokens_of(batch: Batch) -> tuple[int, int]:
    """The tokens of all results, and those of the largest."""
    each = F("input_tokens") + F("output_tokens")
    sums = Result.objects.filter(batch=batch).aggregate(total=Sum(each), most=Max(each))
    return sums["total"], sums["most"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("runners", [1, 2])
@pytest.mark.parametrize("budget", ["tokens", "dollars"])
def test_a_budget_is_kept_by_all_runners_together(
    provider: Provider, simulator: SimulatedProvider, runners: int, budget: str
) -> None:
    provider.prices = PRICES
    provider.save()
    simulator.behaviour = Behaviour(latency="uniform:0,0.05")
    limits = {"max_tokens_total": 300} if budget == "tokens" else {"max_cost": Decimal("0.3")}
    batch = batch_of(provider, ALL, batch_size=WINDOW, parallelism=runners, **limits)
    run_with(runners, batch)
    spent, most = tokens_of(batch)
    assert batch.status == "in_progress"
    assert batch.pause_reason.startswith("budget: ")
    assert 300 <= spent <= 300 + runners * WINDOW * most
    assert batch.cost == Decimal(spent) / 1000
    larger = {"max_tokens_total": 10**6} if budget == "tokens" else {"max_cost": Decimal(1000)}
    batch_actions.resume_batch(batch, **larger)
    run_with(runners, batch)
    check_batch(batch)
    assert batch.succeeded == ALL
    assert simulator.calls.total() == ALL


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("budget", ["tokens", "dollars"])
@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": "25", "completion_tokens": 25.0},
    ],
)
def test_a_budget_is_kept_whatever_the_provider_counts(
    provider: Provider, budget: str, usage: object
) -> None:
    # A reply without usage is estimated at 25 tokens, and the prompt at a few.
    with receiving(answer(chat("y" * 100, usage=usage))) as server:
        provider.base_url = url_of(server, "/v1")
        provider.prices = PRICES
        provider.save()
        limits = {"max_tokens_total": 300} if budget == "tokens" else {"max_cost": Decimal("0.3")}
        batch = batch_of(provider, ALL, batch_size=WINDOW, **limits)
        run_with(1, batch)
        # What has been spent is known to the next run.
        run_with(1, batch)
        calls = len(server.requests)
    spent, most = tokens_of(batch)
    assert batch.pause_reason.startswith("budget: ")
    assert 300 <= spent <= 300 + WINDOW * most
    assert (batch.input_tokens + batch.output_tokens, batch.calls) == (spent, calls)
    assert batch.cost == Decimal(spent) / 1000
    codes = [warning["code"] for warning in batch.warnings]
    counted = isinstance(usage, dict) and bool(usage["prompt_tokens"])
    assert codes == ([] if counted else ["usage_estimated"])
