"""Estimate the cost of prompts; batches without a known price are reported, not called free."""

from decimal import Decimal

from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, QuerySet

from batches.formats import dollars
from batches.limits.escalation import models_of
from batches.limits.prices import is_priced
from batches.models import Batch, Provider

MOST_MODELS = 200


def unpriced(batches: QuerySet[Batch]) -> int:
    """Count the batches that used tokens of a model without a known price, or may have."""
    used = batches.annotate(tokens=F("input_tokens") + F("output_tokens"))
    is_free = ExpressionWrapper(Q(cost=0), BooleanField())
    models = (
        used.filter(Q(cost=0) | Q(escalate__isnull=False), tokens__gt=0)
        .values("provider", "model", "escalate", free=is_free)
        .annotate(n=Count("pk"))
        .order_by("-n")[:MOST_MODELS]
    )
    found = list(models.values_list("provider", "model", "escalate", "free", "n"))
    providers = Provider.objects.in_bulk({provider for provider, *_ in found})
    return sum(
        n
        for pk, model, steps, free, n in found
        for asked in [[*([model] if free else []), *models_of(steps)]]
        if not all(is_priced(providers[pk], each) for each in asked)
    )


def likely_cost(batch: Batch, prompts: int) -> str:
    """Return the likely cost of more prompts of a batch in words; empty if it is unknown."""
    cost = _cost_of_more(batch, prompts)
    return "" if cost is None else f"about {dollars(cost)}"


def _cost_of_more(batch: Batch, prompts: int) -> Decimal | None:
    """Estimate the cost of more prompts of a batch from the answered ones; None if unknown."""
    return batch.cost * prompts / batch.succeeded if batch.cost and batch.succeeded else None
