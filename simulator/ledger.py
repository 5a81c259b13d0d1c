"""Record the calls: by prompt, in flight, and by status."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Ledger:
    """The record of all calls since its start."""

    calls: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_peak: int = 0
    # Calls within the limits: their number, and the times of the first and the last.
    admitted: int = 0
    admitted_since: float = 0.0
    admitted_until: float = 0.0
    tokens: int = 0

    def enter(self) -> None:
        """Record the arrival of a request."""
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)

    def leave(self, status: str) -> None:
        """Record the end of a request: its reply is ready, or its client has disconnected."""
        self.in_flight -= 1
        self.by_status[status] += 1

    def arrive(self, prompt: str, model: str) -> None:
        """Count a valid call of a prompt."""
        self.calls[prompt] += 1
        self.by_model[model] += 1

    def refuse(self, prompt: str) -> None:
        """Count a call that was not admitted, so that the script of its prompt ignores it."""
        self.refused[prompt] += 1

    def admit(self, now: float) -> None:
        """Count a call within the limits."""
        if not self.admitted:
            self.admitted_since = now
        self.admitted += 1
        self.admitted_until = now

    def number(self, prompt: str) -> int:
        """Return the number of the prompt's last call, counting only admitted calls."""
        return self.calls[prompt] - self.refused.get(prompt, 0)

    def stats(self) -> dict[str, Any]:
        """Return the figures of the ledger."""
        return {
            "calls": self.calls.total(),
            "in_flight": self.in_flight,
            "in_flight_peak": self.in_flight_peak,
            "by_status": dict(self.by_status),
            "admitted": self.admitted,
            "admitted_s": self.admitted_until - self.admitted_since,
            "tokens": self.tokens,
        }
