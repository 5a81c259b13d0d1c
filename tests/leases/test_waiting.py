"""What a batch waits for, as one of its runners said."""

from datetime import timedelta

import pytest
from django.utils import timezone

from batches.leases.waiting import WaitingNow, waiting_of, with_waiting
from batches.models import Batch, Provider, Slot
from tests.makers import batch_of

SAID = {"reason": "the rate limit", "since": 1.0, "next": 2.0}


@pytest.mark.parametrize("waits", [(), (0,), (1,), (0, 1)])
def test_a_runner_that_waits_is_found_beside_one_that_does_not(
    provider: Provider, waits: tuple[int, ...]
) -> None:
    batch = batch_of(provider, 10, batch_size=2, parallelism=2)
    later = timezone.now() + timedelta(hours=1)
    for slot in Slot.objects.filter(batch=batch):
        said = SAID if slot.number in waits else None
        Slot.objects.filter(pk=slot.pk).update(runner="r", lease_expires_at=later, waiting=said)
    shown = with_waiting(Batch.objects.filter(pk=batch.pk)).get()
    assert waiting_of(shown) == (WaitingNow("the rate limit", 1.0, 2.0) if waits else None)
