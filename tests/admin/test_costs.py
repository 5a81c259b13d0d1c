"""What has no known price is said to be unknown, not to have cost nothing."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from batches.admin.batches.costs import unpriced
from batches.limits.prices import cost_of
from batches.models import Batch, Provider
from tests.makers import MODEL, batch_of

PRICES = {MODEL: {"input": 1, "output": 2}}


def used(provider: Provider, cost: str = "0") -> Batch:
    """A batch that has used tokens."""
    batch = batch_of(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(input_tokens=3, cost=Decimal(cost))
    batch.refresh_from_db()
    return batch


def test_without_a_price_the_cost_is_unknown(provider: Provider) -> None:
    assert cost_of(used(provider)) is None
    assert cost_of(used(provider, cost="1.5")) == Decimal("1.5")
    provider.prices = PRICES
    provider.save()
    assert cost_of(batch_of(provider, ["a"])) == 0


def test_batches_without_a_price_are_counted(provider: Provider) -> None:
    used(provider)
    used(provider)
    used(provider, cost="1.5")
    batch_of(provider, ["not run yet"])
    priced = Provider.objects.create(name="p", base_url="http://localhost", prices=PRICES)
    used(priced)
    assert unpriced(Batch.objects.all()) == 2


@pytest.mark.parametrize(
    ("costs", "shown"),
    [
        ((), "<dd>$0.00</dd>"),
        (("0", "0"), "<dd>\N{EN DASH} <small"),
        (("0", "1.5"), "<dd>$1.50 <small"),
    ],
)
def test_the_dashboard_says_what_is_unknown(
    root: Client, provider: Provider, costs: tuple[str, ...], shown: str
) -> None:
    for cost in costs:
        used(provider, cost)
    page = root.get(reverse("admin:index")).content.decode()
    assert shown in page
    assert ("unknown for" in page) == ("0" in costs)


def test_the_page_of_a_batch_says_that_no_price_is_known(root: Client, provider: Provider) -> None:
    address = reverse("admin:batches_batch_change", args=[used(provider).pk])
    assert "price unknown" in root.get(address).content.decode()
    Provider.objects.update(prices=PRICES)
    assert "price unknown" not in root.get(address).content.decode()


def test_a_stronger_model_without_a_price_leaves_the_cost_unknown(provider: Provider) -> None:
    provider.prices = PRICES
    provider.save()
    batch = used(provider, cost="1.5")
    steps = [{"model": "strong", "when": ["empty"]}]
    Batch.objects.filter(pk=batch.pk).update(escalate=steps)
    used(provider, cost="2.5")
    assert cost_of(Batch.objects.get(pk=batch.pk)) is None
    assert unpriced(Batch.objects.all()) == 1
    provider.prices = {**PRICES, "strong": {"input": 5, "output": 5}}
    provider.save()
    assert cost_of(Batch.objects.get(pk=batch.pk)) == Decimal("1.5")
    assert unpriced(Batch.objects.all()) == 0
