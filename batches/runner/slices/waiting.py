"""Describe to the user what a slice waits for."""

from collections import Counter
from collections.abc import Sequence

from batches.engine.execute import Execution
from batches.leases.waiting import WaitingNow
from batches.limits.model_calls import Held, held_to
from batches.runner.results import Clock

# Shorter waits for a limit are not shown.
LEAST_HELD_S = 0.5


def waiting_of(
    execution: Execution, held: Sequence[Held], clock: Clock, *, now: float
) -> WaitingNow | None:
    """Return what a run waits for: an unavailable target, a rate limit, or retries."""
    return _away(execution, clock) or _held(held, clock, now) or _retrying(execution, clock)


def notes_of(execution: Execution, held: Sequence[Held], clock: Clock) -> tuple[str, ...]:
    """Return what shapes the pace of a run: the limit in force, and what is retried and why."""
    retrying = _retrying(execution, clock)
    notes = (_limit_in_force(held), retrying.reason if retrying else "")
    return tuple(note for note in notes if note)


def _limit_in_force(held: Sequence[Held]) -> str:
    """Return the limit that holds the calls back most; "" if there is none."""
    limited = [each for each in held if each.limits]
    if not limited:
        return ""
    slowest = max(limited, key=lambda each: each.wait_s)
    more = f" and {len(limited) - 1} more" if len(limited) > 1 else ""
    return held_to(slowest.limits) + (f" ({slowest.model}{more})" if more else "")


def _away(execution: Execution, clock: Clock) -> WaitingNow | None:
    away = [(target.model, target.away) for target in execution.away if target.away]
    if not away:
        return None
    model, outage = min(away, key=lambda item: item[1].since)
    more = f" and {len(away) - 1} more" if len(away) > 1 else ""
    reason = f"waiting for {model or 'the provider'}{more}: {outage.reason}"
    return WaitingNow(reason, clock.unix(outage.since), clock.unix(outage.next_probe))


def _held(held: Sequence[Held], clock: Clock, now: float) -> WaitingNow | None:
    longest = max(held, key=lambda each: each.wait_s, default=None)
    if longest is None or longest.wait_s < LEAST_HELD_S:
        return None
    return WaitingNow(f"{longest.model}: {longest.reason}", next=clock.unix(now + longest.wait_s))


def _retrying(execution: Execution, clock: Clock) -> WaitingNow | None:
    retrying = [call for call in execution.retrying() if call.error]
    if not retrying:
        return None
    [(error, _)] = Counter(call.error.message for call in retrying if call.error).most_common(1)
    prompts = "1 prompt" if len(retrying) == 1 else f"{len(retrying)} prompts"
    since = min(call.done_at for call in retrying)
    return WaitingNow(f"retrying {prompts}: {error}", clock.unix(since))
