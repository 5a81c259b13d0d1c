"""What the first calls of a run are refused for: their prompts, or a fault in the set-up."""

from collections import Counter

from batches.engine.errors import ConfigError, ProviderError, RequestRefused
from batches.engine.records import Exchange

# When so many of the first calls are refused for one and the same reason, the fault is in the
# set-up, not in the prompts.
REFUSALS_TO_PAUSE = 20
# So many refusals for several reasons are no such fault.
MOST_HELD = 2 * REFUSALS_TO_PAUSE


class FirstRefusals:
    """Holds failures back until something goes well, so that none is blamed on a prompt when it
    turns out that the set-up is at fault."""

    def __init__(self) -> None:
        self._disproved = False
        self._held: list[Exchange] = []
        self._reasons: Counter[tuple[int | None, str | None]] = Counter()

    def blame_set_up(self, error: ProviderError) -> bool:
        """Take note of a failure; whether it shows that the set-up is at fault."""
        if self._disproved or not isinstance(error, ConfigError | RequestRefused):
            return False
        reason = (error.status_code, error.code)
        self._reasons[reason] += 1
        return self._reasons[reason] >= REFUSALS_TO_PAUSE

    def hold(self, exchange: Exchange) -> bool:
        """Keep a failure back, if it might be the fault of the set-up."""
        if self._disproved or not isinstance(exchange.error, ConfigError | RequestRefused):
            return False
        self._held.append(exchange)
        self._disproved = len(self._held) >= MOST_HELD
        return True

    def disprove(self) -> None:
        """Something went well."""
        self._disproved = True

    def release(self, *, ending: bool = False) -> list[Exchange]:
        """What need not be held any more: all of it, when the set-up is fine or the run ends."""
        if not (self._disproved or ending):
            return []
        held, self._held = self._held, []
        return held
