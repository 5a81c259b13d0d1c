"""The models that a prompt was asked of, as they are stored with its result, and their cost."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from batches.engine.errors import FailureKind
from batches.engine.plain_text import storable_text
from batches.engine.records import AskedModel, Usage
from batches.limits.prices import PriceList
from batches.models.bounds import MAX_MODEL_CHARS


def asked_text(asked: Sequence[AskedModel]) -> str | None:
    """Return the models that a prompt was asked of as JSON text; None if there are none."""
    if not asked:
        return None
    return json.dumps(list(map(_stored, asked)), ensure_ascii=False, separators=(",", ":"))


def _stored(one: AskedModel) -> dict[str, Any]:
    usage = {
        "input_tokens": one.usage.input_tokens,
        "cached_tokens": one.usage.cached_tokens,
        "output_tokens": one.usage.output_tokens,
    }
    return {
        "model": storable_text(one.model[:MAX_MODEL_CHARS]),
        "kind": one.kind.value if one.kind else None,
        "calls": one.calls,
        "usage": usage,
    }


def asked_in(text: str | None) -> list[AskedModel]:
    """Return the models in a stored text; none without a text."""
    return [
        AskedModel(
            model=one["model"],
            kind=FailureKind(one["kind"]) if one["kind"] else None,
            calls=one["calls"],
            usage=Usage(**one["usage"]),
        )
        for one in json.loads(text or "[]")
    ]


def cost_of_asked(prices: PriceList, asked: Iterable[AskedModel]) -> Decimal | None:
    """Return the cost of the calls to these models in dollars; None if a price is unknown."""
    # Calls that brought no reply cost nothing, whatever their model costs.
    costs = [prices.cost(one.model, one.usage) for one in asked if one.usage != Usage()]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None
