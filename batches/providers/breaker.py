"""Circuit breaker: pause a provider that refuses all calls. Its batches wait, and no prompt fails.

    open --refused key, empty account, wrong set-up--> paused --a probe succeeds, or staff--> open
                                                        |  ^
                                                        +--+ a probe fails: a longer wait

A probe is one real prompt of a waiting batch. If staff pause a provider, no probes are sent.
"""

from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from batches.database import transaction
from batches.engine.errors import (
    AuthError,
    ConfigError,
    EndpointUnusable,
    NotAnApi,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    TargetAway,
)
from batches.leases.batches import pause_once
from batches.lifecycle import PauseKind
from batches.models import Batch, Outage, Provider
from batches.models.bounds import MAX_REASON_CHARS
from batches.models.statements import Statement, hole, query_of

FIRST_PROBE_S = 30.0
LONGEST_PROBE_S = 600.0


def is_fault_of_provider(error: ProviderError) -> bool:
    """Return True if an error that paused a batch affects all batches of its provider.

    A fault of the provider is its key, its account, or an address that is forbidden or does not
    answer. A missing model or a refused prompt is a fault of the batch.
    """
    return isinstance(error, AuthError | QuotaError | EndpointUnusable | TargetAway)


def pause_kind_of(error: ProviderError) -> PauseKind:
    """Return the kind of the pause that an error asks for."""
    of_error = {kind.value: kind for kind in PauseKind}
    if isinstance(error.cause if isinstance(error, TargetAway) else error, NotAnApi):
        return PauseKind.CONFIG
    is_away = isinstance(error, TargetAway)
    return PauseKind.AWAY if is_away else of_error.get(error.kind.value, PauseKind.AWAY)


def shows_it_open(error: ProviderError) -> bool:
    """Return True if an error shows that the provider accepts the key and the account."""
    of_batch = isinstance(error, ConfigError) and not is_fault_of_provider(error)
    return of_batch or isinstance(error, RequestRefused | RateLimited)


def trip(provider_id: int, kind: PauseKind, reason: str, *, suspect: int | None = None) -> bool:
    """Pause a provider until a probe succeeds; return True if it was open before.

    `suspect` is the batch that may be at fault instead of the provider.
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
    """Open a paused provider; return True if it was opened.

    With `paused_by_staff=False`, a provider that staff have paused stays paused.
    """
    paused = Provider.objects.filter(pk=provider_id).exclude(pause_reason="")
    if not paused_by_staff:
        paused = paused.exclude(probe_at=None)
    opened = paused.update(
        pause_kind="", pause_reason="", paused_at=None, probe_at=None, probes=0, suspect=None
    )
    if opened:
        # Outages from before the pause are outdated.
        Outage.objects.filter(provider=provider_id).delete()
    return bool(opened)


@transaction.around
def answered_probe(batch: Batch) -> bool:
    """Open the provider that has answered a probe of this batch; return True if it was opened.

    If another batch was suspected of causing the pause, this answer shows that it is at fault: that
    batch is then paused instead.
    """
    provider = Provider.objects.get(pk=batch.provider_id)
    if not reset(provider.pk, paused_by_staff=False):
        return False
    if provider.suspect_id is not None and provider.suspect_id != batch.pk:
        running = Batch.objects.in_time()
        pause_once(running, provider.suspect_id, provider.pause_kind, provider.pause_reason)
    return True


def claim_probe(batch_id: int) -> bool:
    """Claim the next probe for a prompt of this batch; return True if the caller may send it."""
    for provider_id, probes in _PROBED.rows(batch=batch_id):
        wait_s = min(FIRST_PROBE_S * 2 ** min(probes + 1, 10), LONGEST_PROBE_S)
        due = Provider.objects.filter(pk=provider_id, probe_at__lte=Now(), probes=probes)
        return bool(due.update(probe_at=Now() + timedelta(seconds=wait_s), probes=F("probes") + 1))
    return False


# The paused provider of a batch that waits for it, and the number of its probes.
_PROBED = Statement(
    lambda: query_of(
        Batch.objects.waiting(probing=True)
        .filter(pk=hole("batch"))
        .values_list("provider_id", "provider__probes")
    )
)


def batches_to_probe() -> list[int]:
    """Return one waiting batch for each provider with a due probe, each time another batch."""
    due = Batch.objects.waiting(probing=True).filter(provider__probe_at__lte=Now())
    waiting: dict[int, list[int]] = {}
    turns: dict[int, int] = {}
    rows = due.order_by("-priority", "pk").values_list("pk", "provider_id", "provider__probes")
    for pk, provider_id, probes in rows:
        waiting.setdefault(provider_id, []).append(pk)
        turns[provider_id] = probes
    return [pks[turns[provider_id] % len(pks)] for provider_id, pks in waiting.items()]
