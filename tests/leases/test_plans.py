"""The plans of SQLite: this file is not run on PostgreSQL, which plans by what its tables hold."""

from batches.models import Batch, Provider, Result
from tests.makers import batch_of


def test_a_chunk_to_claim_is_found_among_the_unfinished(provider: Provider) -> None:
    batch = batch_of(provider, 5, batch_size=2)
    # A batch of a million may have a million chunks that are done before the first that is not.
    claimable = batch.chunks.claimable().order_by("lo")[:1]
    waiting = Batch.objects.waiting()
    for plan in (claimable.explain(), waiting.explain()):
        assert "USING INDEX chunk_unfinished (batch_id=?)" in plan.replace("COVERING ", "")


def test_the_results_of_a_chunk_are_counted_without_reading_those_of_the_batch(
    provider: Provider,
) -> None:
    batch = batch_of(provider, 5)
    plan = Result.objects.between(batch.pk, 2, 4).explain()
    assert "USING INDEX result_of_batch (batch_id=? AND status=? AND index>? AND index<?)" in plan
