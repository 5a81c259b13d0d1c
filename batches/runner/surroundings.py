"""Look at the other runners, the limits and the budget of a batch."""

import time
from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from batches.conf import conf
from batches.engine.outages import SharedOutages
from batches.intake.reading import to_read
from batches.limits.budget import Spent
from batches.limits.limiter import rank_of
from batches.limits.rules import Rules, RunFigures, rules_of
from batches.models import Batch, Slot, WebhookDelivery
from batches.providers.outages import outages_of
from batches.runner.board import shared_outages
from batches.runner.results import Clock

# What others may change during a slice.
_CHANGING = (
    *("cost", "input_tokens", "output_tokens", "succeeded", "failed", "stop_when"),
    *(
        f"provider__{name}"
        for name in ("requests_per_minute", "tokens_per_minute", "max_in_flight")
    ),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts about the other runners: their number at this provider, the rank of this runner among
    them, and the number of their processes; the provider's limits; the budget that the batch has
    spent, and the part that this slice has spent; the rules of the batch and all its outcomes.
    `clock` is the database's."""

    runners: int
    rank: int
    batch_runners: int
    processes: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_in_flight: int | None
    spent: Spent
    mine: Spent
    rules: Rules | None
    figures: RunFigures
    outages: SharedOutages
    clock: Clock


def look_around(batch: Batch, slot_id: int, *, mine: Spent, clock: Clock) -> Surroundings:
    """Return what the runner in this slot has to know of the others.

    If the batch was deleted, use its last known state and clock.
    """
    these = Batch.objects.select_related("provider").only(*_CHANGING).annotate(now=Now())
    found = these.filter(pk=batch.pk).first()
    if found is not None:
        batch, clock = found, Clock(vars(found)["now"].timestamp() - time.monotonic())
    taken = Slot.objects.taken().filter(batch__provider=batch.provider_id)
    rows = taken.order_by("pk")
    at_work = list(rows.values_list("pk", "batch_id", "runner", "batch__priority"))
    priorities = {pk: priority for pk, _, _, priority in at_work}
    turn = int(time.time() // conf().SLICE_SECONDS)
    read_at = time.monotonic()
    outages = shared_outages(outages_of(batch.provider_id), read_at=read_at)
    return Surroundings(
        runners=len(at_work),
        rank=rank_of(slot_id, priorities, turn),
        batch_runners=sum(batch_id == batch.pk for _, batch_id, _, _ in at_work),
        processes=len({runner for _, _, runner, _ in at_work}),
        requests_per_minute=batch.provider.requests_per_minute,
        tokens_per_minute=batch.provider.tokens_per_minute,
        max_in_flight=batch.provider.max_in_flight,
        spent=Spent(batch.input_tokens + batch.output_tokens, batch.cost),
        mine=mine,
        rules=rules_of(batch.stop_when),
        figures=RunFigures(batch.succeeded + batch.failed, batch.failed, batch.cost),
        outages=outages,
        clock=clock,
    )


def other_work_waits(batch: Batch) -> bool:
    """Return True if a batch without a runner, an unread input, or an undelivered event waits."""
    taken = Slot.objects.taken().filter(batch=OuterRef("pk"))
    others = Batch.objects.waiting().filter(priority__gte=batch.priority)
    idle = others.filter(~Exists(taken)).exclude(pk=batch.pk)
    return idle.exists() or to_read().exists() or WebhookDelivery.objects.waiting().exists()
