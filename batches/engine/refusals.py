"""Whether what a provider refuses is the fault of the prompt, or of the key or the set-up.

One refusal does not tell. So failures that could be the set-up's are held back: an answer to a
later call shows that the prompts were at fault, many refusals in a row that the set-up is.
"""

from enum import Enum, auto

from batches.engine.errors import AccessRefused, ConfigError, ProviderError, RequestRefused
from batches.engine.records import Exchange

# When so many calls to a model are refused in a row for one and the same reason, the fault is in
# the set-up, not in the prompts.
REFUSALS_TO_PAUSE = 20
# A 403 is the key's more often than the prompt's.
FORBIDDEN_TO_PAUSE = 3
# So many refusals for several reasons are no such fault.
MOST_HELD = 2 * REFUSALS_TO_PAUSE


class Ruling(Enum):
    """What a failure is taken for: the prompt's, the set-up's, or not known yet."""

    FINAL = auto()
    PAUSE = auto()
    HELD = auto()


class Refusals:
    """Holds failures back until it is known what they are the fault of, so that none is blamed on
    a prompt when it turns out that the set-up is at fault.

    With `trusting`, what a provider says of a request is taken at its word at once. With
    `answered_before`, an earlier run of the batch was answered: the set-up cannot be all wrong.
    """

    def __init__(self, *, trusting: bool = False, answered_before: bool = False) -> None:
        self._trusting = trusting
        self._answered_before = answered_before
        self._answered: set[str] = set()
        self._held: list[Exchange] = []
        self._due: list[Exchange] = []

    def weigh(self, exchange: Exchange) -> Ruling:
        """Judge a failure; what is held is given out by `release` later, or never."""
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
        """A call to a model that was sent then (monotonic) has been answered."""
        self._answered.add(model)
        if self._held:
            # A key that was revoked meanwhile may have been good for this call.
            self._let_go(
                [
                    held
                    for held in self._held
                    if held.request.model == model
                    and (isinstance(held.error, RequestRefused) or held.done_at <= sent_at)
                ]
            )

    def release(self) -> list[Exchange]:
        """The failures that are known to be the prompts' own."""
        due, self._due = self._due, []
        return due

    @property
    def are_held(self) -> bool:
        """Whether it is not known yet of some whose fault they are."""
        return bool(self._held)

    def end(self) -> ProviderError | None:
        """Note that no call follows: return the error to pause for, or else release all."""
        for held in self._held:
            if self._is_of_set_up(held):
                return held.error
        self.settle()
        return None

    def _is_of_set_up(self, held: Exchange) -> bool:
        if isinstance(held.error, AccessRefused):
            return not self._trusting
        # A wrong model or address is wrong for all prompts, however few there are.
        return isinstance(held.error, ConfigError) and not (self._answered or self._answered_before)

    def settle(self) -> None:
        """Take all that is held for the prompts' own fault: nobody will ask any more."""
        self._let_go(self._held)

    def _patience(self, exchange: Exchange) -> int | None:
        """How many of its kind in a row are too many; None where one failure tells all."""
        if isinstance(exchange.error, AccessRefused):
            return FORBIDDEN_TO_PAUSE
        if isinstance(exchange.error, ConfigError):
            return REFUSALS_TO_PAUSE
        known = self._trusting or exchange.request.model in self._answered
        if isinstance(exchange.error, RequestRefused) and not known:
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
