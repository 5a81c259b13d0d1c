"""Workers are killed between the models of a prompt: it begins again with the first one."""

from tests.makers import MODEL
from tests.processes.stack import SHORT_LEASE_S, Stack
from tests.runner.test_escalation import DEFAULTS, LARGE, bad

PROMPTS, WINDOW, KILLS = 100, 8, 2


def test_killed_workers_leave_one_outcome_for_each_prompt(stack: Stack) -> None:
    texts = [f"prompt {number} {bad(MODEL)}" for number in range(PROMPTS)]
    options = {
        "batch_size": WINDOW,
        "defaults": DEFAULTS,
        "max_repair_attempts": 0,
        "escalate": [{"model": LARGE}],
    }
    stack.start_sweeper()
    batch = stack.create_batch(texts, **options)
    for number in range(KILLS):
        with stack.simulator.holding(after=WINDOW + WINDOW // 2):
            victim = stack.start_worker(f"victim{number}", lease_s=SHORT_LEASE_S)
            stack.wait_for_calls(stack.simulator.calls.total() + 2 * WINDOW)
            stack.kill_in_flight(victim)
    stack.start_worker("last")
    stack.wait_completed(batch)
    # Of each killed worker, up to three windows of prompts are asked again, of both models.
    stack.check(batch, most_calls=2 * PROMPTS + KILLS * 3 * 2 * WINDOW)
    assert stack.driver("kinds", batch=batch) == {"": PROMPTS}
    assert stack.driver("most_calls", batch=batch) == 2
    assert stack.simulator.by_model[LARGE] >= PROMPTS
