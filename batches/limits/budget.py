"""The remaining budget of a batch, from the view of one of its runners."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from batches.formats import dollars

ZERO = Decimal(0)
# The end of the reason of a pause: what is in flight is paid for.
KEPT = ": calls in flight are kept"


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and dollars."""

    tokens: int = 0
    cost: Decimal = ZERO

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens - other.tokens, self.cost - other.cost)


class Budget:
    """The share of one runner: between two reads of the stored total, each runner may spend an
    equal share of the rest.

    So all runners together exceed the budget at most by the calls that were in flight when it was
    used up. If a dollar budget is set and a model has no known price, no more calls are started.
    """

    def __init__(self, max_tokens: int | None, max_cost: Decimal | None) -> None:
        self._max_tokens = max_tokens
        self._max_cost = max_cost
        self._unpriced = False
        # Spent by this runner: in all, and up to the last read.
        self._mine = Spent()
        self._mine_then = Spent()
        self._taken = Spent()
        self._runners = 1

    def spend(self, tokens: int, cost: Decimal | None) -> None:
        """Count a reply; its cost is None if the price is unknown."""
        self._unpriced = self._unpriced or (cost is None and self._max_cost is not None)
        self._mine += Spent(tokens, cost or ZERO)

    def look(self, total: Spent, *, mine: Spent, runners: int) -> None:
        """Set the amount that all runners have stored, and this runner's part of it."""
        self._taken = total + (self._mine - mine)
        self._mine_then = self._mine
        self._runners = max(runners, 1)

    @property
    def reason(self) -> str:
        """Return why the batch must pause; "" if it need not."""
        if self._unpriced:
            return "no price is known for a model of this batch: set its price on the provider"
        if self._max_cost is not None and self._taken.cost >= self._max_cost:
            spent = dollars(self._taken.cost)
            return f"spending limit of ${self._max_cost.normalize():f} reached at {spent}{KEPT}"
        if self._max_tokens is not None and self._taken.tokens >= self._max_tokens:
            return f"token limit of {self._max_tokens} reached at {self._taken.tokens}{KEPT}"
        return ""

    def is_spent(self) -> bool:
        """Return True if this runner may start no further call before the next read."""
        return self._unpriced or any(
            since * self._runners >= most - taken for most, taken, since in self._amounts()
        )

    def _amounts(self) -> Iterator[tuple[Decimal | int, Decimal | int, Decimal | int]]:
        since = self._mine - self._mine_then
        if self._max_tokens is not None:
            yield self._max_tokens, self._taken.tokens, since.tokens
        if self._max_cost is not None:
            yield self._max_cost, self._taken.cost, since.cost
