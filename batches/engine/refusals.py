"""Decide whether a refusal is the fault of the prompt, or of the API key or the configuration.

One refusal is not enough to decide. So failures that the configuration may have caused are held
back: an answer to a later call shows that the prompts were at fault; many refusals in a row show
that the configuration is.
"""

from enum import Enum, auto

from batches.engine.errors import (
    AccessRefused,
    ConfigError,
    NotAnApi,
    ProviderError,
    RequestRefused,
)
from batches.engine.records import Exchange

# After this many calls to a model are refused in a row for the same reason, the configuration is
# at fault, not the prompts.
REFUSALS_TO_PAUSE = 20
# A 403 is caused by the API key more often than by the prompt.
FORBIDDEN_TO_PAUSE = 3
# This many refusals for several different reasons do not point to the configuration.
MOST_HELD = 2 * REFUSALS_TO_PAUSE


class Ruling(Enum):
    """The verdict on a failure: the prompt's fault, the configuration's, or not known yet."""

    FINAL = auto()
    PAUSE = auto()
    HELD = auto()


class Refusals:
    """Holds failures back until their cause is known, so that no prompt fails for a wrong
    configuration.

    With `trusting`, rejections by the provider count as the prompt's fault at once. With
    `answered_before`, an earlier run of the batch was answered, so the configuration cannot be
    entirely wrong.
    """

    def __init__(self, *, trusting: bool = False, answered_before: bool = False) -> None:
        self._trusting = trusting
        self._answered_before = answered_before
        self._answered: set[str] = set()
        self._held: list[Exchange] = []
        self._due: list[Exchange] = []

    def weigh(self, exchange: Exchange) -> Ruling:
        """Judge a failure. If it is held back, `release` returns it later, or never."""
        most = self._patience(exchange)
        if most is None:
            return Ruling.FINAL
        reason = _reason(exchange)
        if sum(_reason(held) == reason for held in self._held) + 1 >= most:
            return Ruling.PAUSE
        self._held.append(exchange)
        if len(self._held) >= MOST_HELD:
            self._answered.update(held.request.model for held in self._held)
            self._let_go(self._held)
        return Ruling.HELD

    def disprove(self, model: str, *, sent_at: float) -> None:
        """Record an answer of a model to a call that was sent at `sent_at` (monotonic)."""
        self._answered.add(model)
        if self._held:
            # A key that was revoked meanwhile may still have been valid for this call.
            self._let_go(
                [
                    held
                    for held in self._held
                    if held.request.model == model
                    and (isinstance(held.error, RequestRefused) or held.done_at <= sent_at)
                ]
            )

    def release(self) -> list[Exchange]:
        """Return the failures that are known to be the prompts' fault, once."""
        due, self._due = self._due, []
        return due

    @property
    def are_held(self) -> bool:
        """Return True if failures are held back whose cause is not known yet."""
        return bool(self._held)

    def end(self) -> ProviderError | None:
        """End the run: return the error to pause for, or else release all failures."""
        for held in self._held:
            if self._is_of_set_up(held):
                return held.error
        self.settle()
        return None

    def _is_of_set_up(self, held: Exchange) -> bool:
        if isinstance(held.error, AccessRefused):
            return not self._trusting
        # A wrong model or address is wrong for all prompts, even if there are only a few.
        of_address = isinstance(held.error, ConfigError | NotAnApi)
        return of_address and not (self._answered or self._answered_before)

    def settle(self) -> None:
        """Blame the prompts for all held failures; no later call will decide."""
        self._let_go(self._held)

    def _patience(self, exchange: Exchange) -> int | None:
        """Return the number of such failures in a row that pauses a run; None: final at once."""
        if isinstance(exchange.error, AccessRefused):
            return FORBIDDEN_TO_PAUSE
        if isinstance(exchange.error, ConfigError):
            return REFUSALS_TO_PAUSE
        known = self._trusting or exchange.request.model in self._answered
        if isinstance(exchange.error, RequestRefused | NotAnApi) and not known:
            return REFUSALS_TO_PAUSE
        return None

    def _let_go(self, exchanges: list[Exchange]) -> None:
        self._due += exchanges
        gone = set(map(id, exchanges))
        self._held = [held for held in self._held if id(held) not in gone]


def _reason(exchange: Exchange) -> tuple[object, ...]:
    error = exchange.error
    assert error is not None  # noqa: S101 - only failures are weighed
    return (exchange.request.model, type(error), error.status_code, error.code)
