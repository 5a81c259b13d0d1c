"""Cost of batches. Unknown prices are reported as unknown, not as zero."""

from decimal import Decimal

from django.db.models import Count, F, QuerySet

from batches.engine.records import Usage
from batches.limits.prices import price_list_of
from batches.models import Batch, Provider

MOST_MODELS = 200


def cost_of(batch: Batch) -> Decimal | None:
    """Return the cost of a batch in dollars, or None if no price is known."""
    return batch.cost if batch.cost or _is_priced(batch.provider, batch.model) else None


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
    return sum(n for pk, model, n in found if not _is_priced(providers[pk], model))


def _is_priced(provider: Provider, model: str) -> bool:
    return price_list_of(provider).cost(model, Usage()) is not None
