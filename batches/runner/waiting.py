"""What a slice waits for, in words for its user."""

from collections import Counter

from batches.engine.execute import Execution
from batches.results import Clock
from batches.waiting import WaitingNow


def waiting_of(execution: Execution, clock: Clock) -> WaitingNow | None:
    """Return what a run waits for: a target that is away, or else retries that are due later."""
    away = [(target.model, target.away) for target in execution.away if target.away]
    if away:
        model, outage = min(away, key=lambda item: item[1].since)
        more = f" and {len(away) - 1} more" if len(away) > 1 else ""
        reason = f"waiting for {model or 'the provider'}{more}: {outage.reason}"
        return WaitingNow(reason, clock.unix(outage.since), clock.unix(outage.next_probe))
    retrying = [call for call in execution.retrying() if call.error]
    if not retrying:
        return None
    [(error, _)] = Counter(call.error.message for call in retrying if call.error).most_common(1)
    prompts = "1 prompt" if len(retrying) == 1 else f"{len(retrying)} prompts"
    since = min(call.done_at for call in retrying)
    return WaitingNow(f"retrying {prompts}: {error}", clock.unix(since))
