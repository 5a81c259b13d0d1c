"""The providers on the dashboard: their health, and how much of their limits is used."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Exists, F, OuterRef, Q, When

from batches.admin.activity import failed_shares
from batches.admin.batches.timing import Timing
from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider
from batches.providers.answers import last_answer, with_last_answer

SHOWN = 20


@dataclass(frozen=True, slots=True)
class LimitUse:
    """An estimate of how much of a limit set by staff is in use now."""

    used: float
    limit: int
    of_what: str


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider, when it last answered, and its failures of the last day in per cent.

    `uses` covers the running batches on the dashboard.
    """

    provider: Provider
    uses: list[LimitUse]
    last_answer: datetime | None = None
    failed_share: float | None = None

    @property
    def has_learned(self) -> bool:
        """Return True if a limit was learned from 429s, which staff may forget."""
        seen = (self.provider.announced_limits or {}).values()
        return any(
            (limits.get(unit) or {}).get("learned_per_minute")
            for limits in seen
            for unit in ("requests", "tokens")
        )


def provider_states(running: Iterable[tuple[Batch, Timing]]) -> list[ProviderState]:
    """Return up to 20 providers: paused ones first, then ones with running batches."""
    at_work = Batch.objects.filter(
        provider=OuterRef("pk"), status=BatchStatus.IN_PROGRESS, deleted_at=None
    )
    paused_first = Case(When(~Q(pause_reason=""), then=0), When(Exists(at_work), then=1), default=2)
    known = with_last_answer(Provider.objects.all())
    found = known.order_by(paused_first, F("answered").desc(), "name")[:SHOWN]
    timings, failed = list(running), failed_shares()
    return [
        ProviderState(
            one,
            list(_uses(one, [pair for pair in timings if pair[0].provider_id == one.pk])),
            last_answer(one),
            failed.get(one.pk),
        )
        for one in found
    ]


def _uses(provider: Provider, running: list[tuple[Batch, Timing]]) -> Iterator[LimitUse]:
    calls, tokens, in_flight = 0.0, 0.0, 0.0
    for batch, timing in running:
        done = batch.succeeded + batch.failed
        per_s = timing.now_per_s or 0.0
        if done and per_s:
            calls += per_s * batch.calls / done
            tokens += per_s * (batch.input_tokens + batch.output_tokens) / done
            # Calls in flight = calls started per second times seconds per call (Little's law).
            in_flight += per_s * batch.busy_s / done
    for used, limit, of_what in (
        (60 * calls, provider.requests_per_minute, "requests per minute"),
        (60 * tokens, provider.tokens_per_minute, "tokens per minute"),
        (in_flight, provider.max_in_flight, "calls at once"),
    ):
        if limit:
            yield LimitUse(used, limit, of_what)
