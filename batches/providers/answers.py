"""When providers last answered: a prompt, or a connection test."""

import time
from datetime import UTC, datetime

from django.db.models import F, FloatField, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from batches.models import Batch, Provider


def with_last_answer(providers: QuerySet[Provider]) -> QuerySet[Provider]:
    """Annotate each provider with `answered`: the Unix time of its last answer, or 0."""
    # A batch has no time of its last answer; it has one of its last work, which is seconds later.
    answered = Batch.objects.filter(provider=OuterRef("pk"), succeeded__gt=0)
    latest = answered.order_by().values("provider").annotate(at=Max("active_until")).values("at")
    prompts = Coalesce(Subquery(latest), 0.0, output_field=FloatField())
    return providers.annotate(answered=Greatest(F("answered_at"), prompts))


def last_answer(provider: Provider) -> datetime | None:
    """Return when a provider from `with_last_answer` last answered; None if it never did."""
    seconds: float = vars(provider)["answered"]
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def note_answer(provider: Provider) -> None:
    """Record that a connection test was answered."""
    Provider.objects.filter(pk=provider.pk).update(answered_at=time.time())


def state_of(provider: Provider) -> str:
    """Return the state of a provider from `with_last_answer` in a word or two."""
    if provider.pause_reason:
        return "paused"
    return "not tried" if last_answer(provider) is None else "answering"
