"""A provider that refuses whatever it is sent is paused: its batches wait, no prompt fails.

    open --refused key, empty account, wrong set-up--> paused --a probe goes well, or staff--> open
                                                        |  ^
                                                        +--+ a probe fails: the next one later

A probe is one real prompt of a waiting batch. Staff may pause a provider too; then nothing probes.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from batches.engine.errors import (
    AuthError,
    ConfigError,
    EndpointUnusable,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    TargetAway,
)
from batches.lifecycle import PauseKind
from batches.models import Batch, Outage, Provider

FIRST_PROBE_S = 30.0
LONGEST_PROBE_S = 600.0
MAX_REASON_CHARS = 1000


def is_fault_of_provider(error: ProviderError) -> bool:
    """Whether an error that paused a batch would meet every other batch of its provider too.

    The key and the account are the provider's, and so is an address that may not be called, or
    that answers nothing; a model that it does not have, and prompts that it refuses, are the
    batch's.
    """
    return isinstance(error, AuthError | QuotaError | EndpointUnusable | TargetAway)


def pause_kind_of(error: ProviderError) -> PauseKind:
    """Return the kind of the pause that an error asks for."""
    of_error = {kind.value: kind for kind in PauseKind}
    is_away = isinstance(error, TargetAway)
    return PauseKind.AWAY if is_away else of_error.get(error.kind.value, PauseKind.AWAY)


def shows_it_open(error: ProviderError) -> bool:
    """Whether an error shows that a provider takes the key and has money on the account."""
    of_batch = isinstance(error, ConfigError) and not is_fault_of_provider(error)
    return of_batch or isinstance(error, RequestRefused | RateLimited)


def trip(provider_id: int, kind: PauseKind, reason: str, *, suspect: int | None = None) -> bool:
    """Pause a provider, until a probe goes well; whether it was open before.

    `suspect` is the batch that may be at fault alone.
    """
    first = Now() + timedelta(seconds=FIRST_PROBE_S)
    reason = reason[:MAX_REASON_CHARS]
    this = Provider.objects.filter(pk=provider_id)
    tripped = this.filter(pause_reason="").update(
        pause_kind=kind,
        pause_reason=reason,
        paused_at=Now(),
        probe_at=first,
        probes=0,
        suspect=suspect,
    )
    if not tripped:
        # After a failed probe the newest reason holds; what staff wrote stays.
        this.filter(probe_at__isnull=False).update(pause_kind=kind, pause_reason=reason)
    return bool(tripped)


def pause(provider_id: int, kind: PauseKind, reason: str) -> None:
    """Pause a provider until staff resume it."""
    Provider.objects.filter(pk=provider_id).update(
        pause_kind=kind,
        pause_reason=reason[:MAX_REASON_CHARS],
        paused_at=Now(),
        probe_at=None,
        probes=0,
        suspect=None,
    )


def reset(provider_id: int, *, paused_by_staff: bool = True) -> bool:
    """Open a provider again, or leave it if it was paused by staff; whether it was opened."""
    paused = Provider.objects.filter(pk=provider_id).exclude(pause_reason="")
    if not paused_by_staff:
        paused = paused.exclude(probe_at=None)
    opened = paused.update(
        pause_kind="", pause_reason="", paused_at=None, probe_at=None, probes=0, suspect=None
    )
    if opened:
        # What it did before it was paused says nothing of now.
        Outage.objects.filter(provider=provider_id).delete()
    return bool(opened)


@transaction.atomic
def answered_probe(batch: Batch) -> bool:
    """Open the provider that has answered a probe of this batch; whether it was opened.

    If it was paused for what may be the fault of one batch, and another has been answered now, it
    is: then that batch is paused instead.
    """
    provider = Provider.objects.get(pk=batch.provider_id)
    if not reset(provider.pk, paused_by_staff=False):
        return False
    if provider.suspect_id is not None and provider.suspect_id != batch.pk:
        suspect = Batch.objects.in_time().filter(pk=provider.suspect_id, pause_reason="")
        suspect.update(pause_kind=provider.pause_kind, pause_reason=provider.pause_reason)
    return True


def claim_probe(batch_id: int) -> bool:
    """Whether the caller is the one who may send a prompt of this batch as a probe now."""
    batch = Batch.objects.waiting(probing=True).select_related("provider").filter(pk=batch_id)
    provider = next((each.provider for each in batch), None)
    if provider is None or not provider.pause_reason:
        return False
    wait_s = min(FIRST_PROBE_S * 2 ** min(provider.probes + 1, 10), LONGEST_PROBE_S)
    due = Provider.objects.filter(pk=provider.pk, probe_at__lte=Now(), probes=provider.probes)
    return bool(due.update(probe_at=Now() + timedelta(seconds=wait_s), probes=F("probes") + 1))


def batches_to_probe() -> list[int]:
    """A waiting batch for each provider that is due for a probe, each time another one."""
    due = Batch.objects.waiting(probing=True).filter(provider__probe_at__lte=Now())
    waiting: dict[int, list[int]] = {}
    turns: dict[int, int] = {}
    rows = due.order_by("-priority", "pk").values_list("pk", "provider_id", "provider__probes")
    for pk, provider_id, probes in rows:
        waiting.setdefault(provider_id, []).append(pk)
        turns[provider_id] = probes
    return [pks[turns[provider_id] % len(pks)] for provider_id, pks in waiting.items()]
