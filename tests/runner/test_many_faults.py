"""With many faults of every sort at once no prompt is lost, and every call is accounted for."""

from django.db.models import Sum

from batches.models import Provider, Result
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import batch_of

PROMPTS = 200


def test_a_provider_that_fails_every_eighth_call_answers_every_prompt_in_the_end(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(
        error_rate="429=0.02,500=0.03,503=0.02",
        malformed_rate=0.03,
        reset_rate=0.02,
        hang_rate=0.02,
    )
    batch = batch_of(provider, PROMPTS, batch_size=50, max_attempts=10, timeout_s=4.0)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert (batch.succeeded, batch.failed) == (PROMPTS, 0)
    stored = Result.objects.filter(batch=batch).aggregate(calls=Sum("calls"))["calls"]
    assert stored == batch.calls == simulator.calls.total()
    assert simulator.calls.total() > PROMPTS * 1.05
