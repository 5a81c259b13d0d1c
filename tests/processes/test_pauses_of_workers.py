"""Workers whose provider refuses the key in mid-run, and answers again later."""

import pytest

from simulator import Behaviour
from tests.processes.stack import ON_POSTGRESQL, Stack

pytestmark = ON_POSTGRESQL

PROMPTS = 700
REFUSED_FROM = 500
WINDOW = 16
RUNNERS = 2

# What providers say when the money is used up, some of them without a code.
REFUSALS = {
    "key": Behaviour(fail_from=REFUSED_FROM, fail_status=401),
    "account": Behaviour(fail_from=REFUSED_FROM, fail_status=429, fail_code="insufficient_quota"),
}


def paused_batch(stack: Stack, behaviour: Behaviour) -> int:
    """A batch that two workers have begun, of a provider that has begun to refuse them."""
    stack.simulator.behaviour = behaviour
    for name in ("one", "two"):
        stack.start_worker(name)
    batch = stack.create_batch(PROMPTS, batch_size=WINDOW, parallelism=RUNNERS)
    stack.wait_until(lambda: stack.status(batch)["standstill"], "a pause")
    stack.wait_until(lambda: not stack.status(batch)["runners"], "the end of all slices")
    return batch


@pytest.mark.parametrize("refusal", REFUSALS)
def test_no_prompt_fails_and_a_probe_lets_the_batch_go_on(stack: Stack, refusal: str) -> None:
    behaviour = REFUSALS[refusal]
    batch = paused_batch(stack, behaviour)
    refused = stack.simulator.by_status[str(behaviour.fail_status)]
    assert 0 < refused <= RUNNERS * WINDOW
    now = stack.status(batch)
    assert (now["status"], now["failed"]) == ("in_progress", 0)
    assert str(behaviour.fail_status) in now["standstill"]
    # As long as it refuses, a probe is one call.
    stack.driver("make_probe_due")
    stack.driver("sweep")
    stack.wait_until(
        lambda: stack.simulator.by_status[str(behaviour.fail_status)] > refused, "a probe"
    )
    stack.driver("sweep")
    stack.wait_until(lambda: not stack.status(batch)["runners"], "the end of the probe")
    assert stack.simulator.by_status[str(behaviour.fail_status)] == refused + 1
    stack.simulator.behaviour = Behaviour()
    stack.driver("make_probe_due")
    stack.driver("sweep")
    stack.wait_completed(batch)
    assert stack.status(batch)["failed"] == 0
    # A call of each prompt, and those that were refused.
    stack.check(batch, most_calls=PROMPTS + refused + 1)


def test_staff_let_the_batches_of_a_provider_go_on(stack: Stack) -> None:
    batch = paused_batch(stack, REFUSALS["key"])
    stack.simulator.behaviour = Behaviour()
    stack.driver("resume_provider")
    stack.wait_completed(batch)
    assert stack.status(batch)["failed"] == 0


def test_who_is_resumed_before_the_runners_have_left_goes_on_without_a_sweeper(
    stack: Stack,
) -> None:
    slow = [f"slow {n}" for n in range(WINDOW // 2)]
    stack.simulator.behaviour = Behaviour(fail_from=40, fail_status=401)
    stack.start_worker("one")
    with stack.simulator.holding("slow"):
        batch = stack.create_batch([*slow, *(f"fast {n}" for n in range(100))], batch_size=WINDOW)
        stack.wait_until(lambda: stack.status(batch)["standstill"], "a pause")
        assert stack.simulator.in_flight
        stack.simulator.behaviour = Behaviour()
        stack.driver("resume_provider")
    stack.wait_completed(batch)
    assert stack.status(batch)["failed"] == 0
