"""Batches without a known price, which are reported as such instead of as free."""

from django.db.models import Count, F, QuerySet

from batches.limits.prices import is_priced
from batches.models import Batch, Provider

MOST_MODELS = 200


def unpriced(batches: QuerySet[Batch]) -> int:
    """Count the batches that used tokens of a model without a known price."""
    used = batches.annotate(tokens=F("input_tokens") + F("output_tokens"))
    models = (
        used.filter(cost=0, tokens__gt=0)
        .values("provider", "model")
        .annotate(n=Count("pk"))
        .order_by("-n")[:MOST_MODELS]
    )
    found = list(models.values_list("provider", "model", "n"))
    providers = Provider.objects.in_bulk({provider for provider, _, _ in found})
    return sum(n for pk, model, n in found if not is_priced(providers[pk], model))
