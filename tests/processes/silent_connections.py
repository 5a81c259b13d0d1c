"""Connections are cut without a word while a worker is at work, and while it has nothing to do.

Run by test_silent_connections.py, in a network of its own.
"""

import tempfile
from pathlib import Path

from simulator import Behaviour, SimulatedProvider
from tests.processes.own_network import begin, cut
from tests.processes.stack import Stack, servers, stack_on
from tests.servers import redis_binary

WINDOW = 16
PROMPTS = 300
LINE = '{{"custom_id": "{}", "method": "POST", "url": "/v1/chat/completions", "body": {}}}\n'
BODY = '{"model": "simulated-small", "messages": [{"role": "user", "content": "hello"}]}'
LINES = 20_000


def a_batch_goes_on(stack: Stack) -> None:
    """All connections are cut, in the middle of a batch."""
    batch = stack.create_batch(PROMPTS, batch_size=WINDOW)
    stack.wait_for_calls(WINDOW)
    before = stack.simulator.calls.total()
    assert cut(stack.postgres, stack.broker) >= 2
    stack.wait_until(lambda: stack.stored(batch) > before + WINDOW, "storing")
    stack.wait_completed(batch)
    # Only what was in flight or unstored may be repeated.
    stack.check(batch, most_calls=PROMPTS + 3 * WINDOW)


def an_idle_worker_still_hears(stack: Stack) -> None:
    """The connection over which a worker waits for messages is cut."""
    before = stack.simulator.calls.total()
    assert cut(stack.broker)
    batch = stack.create_batch(WINDOW, batch_size=WINDOW)
    stack.wait_completed(batch)
    assert stack.simulator.calls.total() == before + WINDOW


def an_input_is_read(stack: Stack, folder: Path) -> None:
    """The database's connections are cut while prompts are being stored."""
    path = folder / "in.jsonl"
    path.write_text("".join(LINE.format(number, BODY) for number in range(LINES)))
    batch = stack.driver("create_of_file", base_url=stack.simulator.base_url, path=str(path))
    stack.wait_until(lambda: stack.driver("prompts", batch=batch), "reading")
    assert cut(stack.postgres)
    stack.wait_until(lambda: stack.status(batch)["total"] == LINES, "the whole input")
    stack.driver("cancel", batch=batch)


def main() -> None:
    begin()
    with (
        tempfile.TemporaryDirectory() as name,
        SimulatedProvider() as simulator,
        servers("postgres", Path(name) / "servers", redis_binary()) as shared,
    ):
        folder = Path(name) / "run"
        folder.mkdir()
        simulator.behaviour = Behaviour(latency="uniform:0.1,0.2")
        with stack_on(shared, simulator, folder, LEASE_SECONDS="5") as stack:
            stack.start_worker("one")
            stack.start_sweeper()
            try:
                a_batch_goes_on(stack)
                an_idle_worker_still_hears(stack)
                an_input_is_read(stack, folder)
            finally:
                stack.show_output()


if __name__ == "__main__":
    main()
