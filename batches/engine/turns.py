"""Who decides when each call goes out."""

from typing import Protocol

from batches.engine.errors import ProviderError
from batches.engine.records import PreparedRequest, Reply


class Governor(Protocol):
    """Lets each call out in its turn, and is told how it went."""

    async def enter(self, request: PreparedRequest) -> None:
        """Wait until a call may be made; not at all when closed."""

    def leave(
        self, request: PreparedRequest, result: Reply | ProviderError, latency_s: float
    ) -> None:
        """Take note of how the call went."""

    def drop(self, request: PreparedRequest) -> None:
        """Take note that no call was made after all."""

    def close(self) -> None:
        """Let nobody wait any more."""


class Anarchy:
    """Every call goes out at once."""

    async def enter(self, request: PreparedRequest) -> None:
        """Now."""

    def leave(
        self, request: PreparedRequest, result: Reply | ProviderError, latency_s: float
    ) -> None:
        """It makes no difference."""

    def drop(self, request: PreparedRequest) -> None:
        """It makes no difference."""

    def close(self) -> None:
        """Nobody waits."""
