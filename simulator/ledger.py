"""What arrived: calls per prompt, calls in flight, and what became of them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Ledger:
    """The account of the calls since it was opened."""

    calls: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_peak: int = 0
    # The calls that were within the limits: how many, and when the first and the last came.
    admitted: int = 0
    admitted_since: float = 0.0
    admitted_until: float = 0.0
    tokens: int = 0

    def enter(self) -> None:
        """A request has come."""
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)

    def leave(self, status: str) -> None:
        """Its reply is made, or its client is gone."""
        self.in_flight -= 1
        self.by_status[status] += 1

    def arrive(self, prompt: str) -> None:
        """The request turned out to be a call."""
        self.calls[prompt] += 1

    def refuse(self, prompt: str) -> None:
        """The call was not let in, so it does not count in the script of its prompt."""
        self.refused[prompt] += 1

    def admit(self, now: float) -> None:
        """The call was within the limits."""
        if not self.admitted:
            self.admitted_since = now
        self.admitted += 1
        self.admitted_until = now

    def number(self, prompt: str) -> int:
        """The number of the prompt's last call among those that were let in."""
        return self.calls[prompt] - self.refused.get(prompt, 0)

    def stats(self) -> dict[str, Any]:
        """The account in figures."""
        return {
            "calls": self.calls.total(),
            "in_flight": self.in_flight,
            "in_flight_peak": self.in_flight_peak,
            "by_status": dict(self.by_status),
            "admitted": self.admitted,
            "admitted_s": self.admitted_until - self.admitted_since,
            "tokens": self.tokens,
        }
