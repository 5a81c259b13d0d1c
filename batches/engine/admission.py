"""The limiter decides when each call is sent."""

from typing import Protocol, TypeVar

from batches.engine.errors import ProviderError
from batches.engine.records import PreparedRequest, Reply

Turn = TypeVar("Turn")


class CallLimiter(Protocol[Turn]):
    """Lets each call wait for its turn, and records the result."""

    async def enter(self, request: PreparedRequest) -> Turn:
        """Wait until a call may be made; return at once after `close`."""

    def leave(self, turn: Turn, result: Reply | ProviderError, latency_s: float) -> None:
        """Record the result of the call."""

    def drop(self, turn: Turn) -> None:
        """Record that no call was made after all."""

    def close(self) -> None:
        """Release all calls that wait; later calls do not wait either."""


class Unlimited:
    """A limiter without limits: every call is sent at once."""

    async def enter(self, request: PreparedRequest) -> None:
        """Return at once."""

    def leave(self, turn: None, result: Reply | ProviderError, latency_s: float) -> None:
        """Do nothing."""

    def drop(self, turn: None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: no call waits."""
