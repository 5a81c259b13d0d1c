"""The share of a slice in its provider's limits and its batch's budget."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from batches.conf import conf
from batches.engine.records import Exchange, Usage
from batches.lifecycle import PauseKind
from batches.limits.budget import ZERO, Budget
from batches.limits.escalation import models_of
from batches.limits.limit_stores import limits_at
from batches.limits.limiter import RateLimiter, share_of
from batches.limits.prices import price_list_of
from batches.limits.rate_limits import per_minute
from batches.limits.rules import RuleWatch, RunFigures
from batches.models import Batch
from batches.runner.surroundings import Surroundings


class FairShare:
    """Limit a slice to its share; created inside the slice's event loop."""

    def __init__(self, batch: Batch) -> None:
        provider = batch.provider
        self._batch = batch
        self._budget = Budget(batch.max_tokens_total, batch.max_cost)
        self._watch = RuleWatch()
        self._unpriced = False
        self._prices = price_list_of(provider)
        self._priced: set[str] = set()
        self.limiter = RateLimiter(
            limits_at(conf().RATE_LIMIT_REDIS_URL),
            provider=provider.limits_name,
            cap=batch.batch_size,
            budget=self._budget,
            price=self._prices.cost if batch.max_cost is not None else None,
        )

    def read_prices(self) -> None:
        """Load the published prices, which is slow, if the budget needs them."""
        if self._batch.max_cost is not None:
            model = str(self._batch.defaults.get("model", ""))
            for each in (model, *models_of(self._batch.escalate)):
                self._prices.cost(each, Usage())

    def look(self, around: Surroundings, mine: RunFigures) -> str:
        """Update the share. Return why the batch must pause; "" if it need not.

        `mine` are the outcomes that this slice has stored.
        """
        self._watch.look(around.rules, around.figures, mine=mine)
        self.limiter.keep_to(per_minute(around.requests_per_minute, around.tokens_per_minute))
        self.limiter.share_with(around.processes)
        size, most = self._batch.batch_size, around.max_in_flight
        self.limiter.limit_to(share_of(size, most, around.runners, around.rank))
        self._budget.look(around.spent, mine=around.mine, runners=around.batch_runners)
        return f"{PauseKind.BUDGET}: {self._budget.reason}" if self._budget.reason else ""

    def broken_rule(self, mine: RunFigures) -> str:
        """Return which rule of the batch is broken; "" if all hold."""
        return self._watch.broken_by(replace(mine, cost=None) if self._unpriced else mine)

    def costs(self, exchanges: Sequence[Exchange]) -> dict[int, Decimal]:
        """Return the cost of each exchange in dollars, by the index of its prompt.

        This is slow for a model whose price has not been read before.
        """
        return {
            exchange.request.index: sum((self._cost(*each) for each in exchange.usages), ZERO)
            for exchange in exchanges
            if exchange.reply is not None
        }

    def _cost(self, model: str, usage: Usage) -> Decimal:
        """Return the cost of the replies of one model."""
        cost = self._prices.cost(model, usage)
        self._unpriced = self._unpriced or cost is None
        self._priced.add(model)
        return cost or ZERO

    def knows_costs(self, exchanges: Sequence[Exchange]) -> bool:
        """Return True if the prices for these exchanges have been read."""
        return self._priced.issuperset(
            model for exchange in exchanges for model, _ in exchange.usages
        )
