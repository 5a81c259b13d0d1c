"""Share outages of models between the runners of a provider (Outage rows)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models.functions import Now

from batches.database import transaction
from batches.engine.plain_text import storable_text
from batches.models import Outage, lease_end
from batches.models.bounds import MAX_MODEL_CHARS, MAX_REASON_CHARS

# The allowed difference between a runner's clock and the database's when a probe is due.
SLACK = timedelta(seconds=0.25)


@dataclass(frozen=True, slots=True)
class OutageNow:
    """The current state of an outage; times in seconds from now."""

    reason: str
    lasted_s: float
    next_probe_s: float
    probes: int


def outages_of(provider_id: int) -> Mapping[str, OutageNow]:
    """Return the current outages of a provider, by model; long names of models are cut."""
    rows = Outage.objects.current().filter(provider=provider_id).annotate(now=Now())
    return {
        row["model"]: OutageNow(
            row["reason"],
            lasted_s=(row["now"] - row["since"]).total_seconds(),
            next_probe_s=(row["probe_at"] - row["now"]).total_seconds(),
            probes=row["probes"],
        )
        for row in rows.values()
    }


@transaction.around
def record(provider_id: int, model: str, outage: OutageNow) -> None:
    """Record that a model does not answer, or that another probe failed.

    The outage of a model starts when the first runner records it.
    """
    rows = Outage.objects.filter(provider=provider_id, model=_name(model))
    rows.exclude(pk__in=Outage.objects.current()).delete()
    said = {
        "reason": storable_text(outage.reason[:MAX_REASON_CHARS]),
        "probe_at": lease_end(outage.next_probe_s),
        "probes": outage.probes,
    }
    if outage.probes and rows.filter(probes__lt=outage.probes).update(**said):
        return
    row = Outage(provider_id=provider_id, model=_name(model), **said)
    Outage.objects.bulk_create([row], ignore_conflicts=True)


def end(provider_id: int, model: str) -> None:
    """Record that a model answers again."""
    Outage.objects.filter(provider=provider_id, model=_name(model)).delete()


def claim_probe(provider_id: int, model: str, *, seconds: float) -> bool:
    """Claim the next probe for these seconds; return True if the caller may send it."""
    due = Outage.objects.filter(
        provider=provider_id, model=_name(model), probe_at__lte=Now() + SLACK
    )
    return bool(due.update(probe_at=lease_end(seconds)))


def _name(model: str) -> str:
    """Return the name of a model, cut and made storable."""
    return storable_text(model[:MAX_MODEL_CHARS])
