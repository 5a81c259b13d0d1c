"""Pages ask the database as often for a large batch as for a small one."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.admin import samples
from batches.models import Batch, Provider
from tests.admin.makers import ended_batch

MOST_QUERIES = {"changelist": 16, "change": 16, "results": 10, "live": 14}


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.fixture
def small(provider: Provider) -> Batch:
    return ended_batch(provider, ["a", "b"], failed={1: "bad"})


@pytest.fixture
def large(provider: Provider) -> Batch:
    return ended_batch(
        provider, [f"prompt {n}" for n in range(300)], failed=dict.fromkeys(range(0, 300, 3), "bad")
    )


@pytest.mark.parametrize("name", ["change", "live", "results"])
def test_a_page_of_a_batch_costs_the_same_for_many_prompts(
    root: Client, small: Batch, large: Batch, name: str
) -> None:
    few, many = (
        queries(root, reverse(f"admin:batches_batch_{name}", args=[batch.pk]))
        for batch in (small, large)
    )
    assert many <= few + 1
    assert many <= MOST_QUERIES[name]


def test_the_list_costs_the_same_for_many_batches(root: Client, provider: Provider) -> None:
    address = reverse("admin:batches_batch_changelist")
    ended_batch(provider, ["a"])
    few = queries(root, address)
    for _ in range(5):
        ended_batch(provider, ["a"])
    assert queries(root, address) == few <= MOST_QUERIES["changelist"]


def test_of_a_large_batch_a_sample_is_looked_at(large: Batch) -> None:
    found = samples.samples_of(large, most=50)
    assert (len(found.results), found.weight) == (50, 6)
    with CaptureQueriesContext(connection) as captured:
        samples.samples_of(large, most=50)
    assert len(captured) == 1
    assert "LIMIT" not in captured[0]["sql"]


def test_batches_are_found_by_id_and_by_custom_id(root: Client, small: Batch, large: Batch) -> None:
    address = reverse("admin:batches_batch_changelist")
    for term, found in (
        (small.public_id, {small}),
        (large.public_id[:20], {large}),
        ("line-2", {small, large}),
        ("line-300", {large}),
        ("nothing", set()),
    ):
        shown = root.get(address, {"q": term}).context["cl"].result_list
        assert set(shown) == found, term
