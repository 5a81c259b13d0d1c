"""Show the prompts of some rows of a queryset and what all may cost, without a call."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from pydantic_core import from_json

from batches.errors import NotPossible
from batches.inputs.prompts import LineError
from batches.intake.demand import Demand, Estimate, earlier_answers
from batches.limits.prices import price_list_of
from batches.models import Provider
from batches.rows.enriching import Messages, RowsRefused, Schema, plan_for
from batches.writeback.targets import Into

# The cost of all rows is estimated by this many rows.
SAMPLED = 100


@dataclass(frozen=True, slots=True)
class PreviewedPrompt:
    """The body of the request for a row, as it would be sent over the default fields."""

    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowsPreview:
    """The prompts of the first rows, the number of all rows, and the estimate for all of them."""

    prompts: list[PreviewedPrompt]
    rows: int
    estimate: Estimate


def preview(
    queryset: "QuerySet[Any, Any]",
    *,
    template: Messages,
    n: int = 3,
    schema: Schema | None = None,
    model: str | None = None,
    provider: Provider | str | None = None,
    into: Into | None = None,
    only_changed: bool = False,
    **options: Any,
) -> RowsPreview:
    """Return the prompts of the first `n` rows, and an estimate for all; nothing is sent or stored.

    With `only_changed`, show and count the rows that `enrich` would ask about, which reads all
    rows. Raise NotPossible as `enrich` does.
    """
    _check_number(n)
    plan = plan_for(
        queryset,
        template=template,
        into=into,
        schema=schema,
        model=model,
        provider=provider,
        only_changed=only_changed,
        options=options,
    )
    sampled = max(n, SAMPLED)
    items = iter(plan.items(page_rows=sampled))
    prompts = list(islice(items, sampled))
    if faults := [item.message for item in prompts if isinstance(item, LineError)]:
        raise RowsRefused(faults[0])
    demand = Demand(plan.options.defaults, plan.options.endpoint)
    found = list(demand.counting(item for item in prompts if not isinstance(item, LineError)))
    shown = [PreviewedPrompt(prompt.custom_id, from_json(prompt.body)) for prompt in found[:n]]
    if only_changed:
        rows = len(found) + sum(1 for _ in items)
    else:
        # A join may bring a row several times.
        rows = plan.queryset.order_by().values("pk").distinct().count()
    answers = earlier_answers(plan.provider, demand.models)
    estimate = demand.estimate(price_list_of(plan.provider), answers)
    return RowsPreview(shown, rows, _scaled(estimate, rows))


def _check_number(n: object) -> None:
    if not isinstance(n, int) or n < 0:
        raise NotPossible(f"n is {n!r}: give the number of prompts to show")


def _scaled(estimate: Estimate, rows: int) -> Estimate:
    """Return the estimate for this many prompts of the same kind."""
    if not estimate.prompts or rows <= estimate.prompts:
        return estimate
    times = Decimal(rows) / estimate.prompts
    counts = ("input_tokens", "output_tokens", "unlimited", "assumed")
    return replace(
        estimate,
        prompts=rows,
        cost=None if estimate.cost is None else estimate.cost * times,
        **{name: round(getattr(estimate, name) * times) for name in counts},
    )
