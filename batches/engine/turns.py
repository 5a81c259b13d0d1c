"""Who decides when each call goes out."""

from typing import Protocol, TypeVar

from batches.engine.errors import ProviderError
from batches.engine.records import PreparedRequest, Reply

Turn = TypeVar("Turn")


class Governor(Protocol[Turn]):
    """Lets each call out in its turn, and is told how it went."""

    async def enter(self, request: PreparedRequest) -> Turn:
        """Wait until a call may be made; not at all when closed."""

    def leave(self, turn: Turn, result: Reply | ProviderError, latency_s: float) -> None:
        """Take note of how the call went."""

    def drop(self, turn: Turn) -> None:
        """Take note that no call was made after all."""

    def close(self) -> None:
        """Let nobody wait any more."""


class Anarchy:
    """Every call goes out at once."""

    async def enter(self, request: PreparedRequest) -> None:
        """Now."""

    def leave(self, turn: None, result: Reply | ProviderError, latency_s: float) -> None:
        """It makes no difference."""

    def drop(self, turn: None) -> None:
        """It makes no difference."""

    def close(self) -> None:
        """Nobody waits."""
