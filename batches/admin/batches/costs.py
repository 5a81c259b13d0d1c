"""What batches have cost, as far as anybody knows: what has no known price did not cost nothing."""

from decimal import Decimal

from django.db.models import Count, F, QuerySet

from batches.engine.records import Usage
from batches.limits.prices import price_list_of
from batches.models import Batch, Provider

MOST_MODELS = 200


def cost_of(batch: Batch) -> Decimal | None:
    """Dollars; None if no price is known."""
    return batch.cost if batch.cost or _is_priced(batch.provider, batch.model) else None


def unpriced(batches: QuerySet[Batch]) -> int:
    """How many of these have used tokens of which nobody knows what they cost."""
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
