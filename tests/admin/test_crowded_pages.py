"""Pages of 10,000 batches and of a million results cost as much as those of a few."""

import pytest
from django.test import Client

from batches.admin.batches.results.searching import MOST_SEARCHED
from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider
from tests.admin.makers import ended_batch, fill
from tests.admin.test_cost_of_pages import MOST_QUERIES, queries
from tests.admin.test_list_of_batches import CHANGELIST, listed

ROWS = 1_000_000


@pytest.fixture
def crowd(provider: Provider) -> list[Batch]:
    """As many batches as an installation has after years, one of them with a million results."""
    many = (
        Batch(
            provider=provider,
            name=f"letters {n}",
            endpoint="/v1/chat/completions",
            status=(BatchStatus.COMPLETED, BatchStatus.IN_PROGRESS)[n % 2],
            total=1,
        )
        for n in range(10_000)
    )
    # In pieces, since the database ends a transaction that is idle for long.
    batches = Batch.objects.bulk_create(many, batch_size=500)
    large = ended_batch(provider, ["a"])
    fill(large, ROWS)
    return [*batches, large]


def test_pages_of_very_many_batches_and_results_cost_as_much_as_short_ones(
    root: Client, crowd: list[Batch]
) -> None:
    for query in ("", "?state=waiting", "?q=letters 77", "?q=row-999999", "?p=100"):
        assert queries(root, f"{CHANGELIST}{query}") <= MOST_QUERIES["changelist"], query
    assert listed(root, q="row-999999") == [crowd[-1]]
    results = f"{CHANGELIST}{crowd[-1].pk}/results/"
    for query in ("", "?status=succeeded", "?after=999990", "?kind=server"):
        assert queries(root, f"{results}{query}") <= MOST_QUERIES["results"], query
    # A search reads a bounded number of results, however many there are.
    searched = root.get(results, {"text": "nothing like this"}).context["found"]
    assert searched.next_after is not None
    assert searched.next_after < MOST_SEARCHED
    assert f"up to number {searched.next_after + 1:,} of 1.0 M" in searched.words
