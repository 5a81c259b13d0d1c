"""Workers are killed and stopped while they read an input file; each prompt is run once."""

import json
from pathlib import Path

from simulator import Behaviour
from tests.makers import MODEL
from tests.processes.stack import ON_POSTGRESQL, Stack

pytestmark = ON_POSTGRESQL

LINES = 2_000
# Long lines, so that reading takes a while: every page of 4 MiB is a transaction.
LINE_CHARS = 40_000


def input_file(folder: Path) -> str:
    path = folder / "in.jsonl"
    padding = "x" * LINE_CHARS
    with path.open("w") as file:
        for number in range(LINES):
            message = {"role": "user", "content": f"prompt {number}"}
            body = {"model": MODEL, "messages": [message], "user": padding}
            line = {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}) + "\n")
    return str(path)


def begun(stack: Stack) -> int:
    """A batch some of whose prompts are stored."""
    path = input_file(stack.folder)
    batch: int = stack.driver("create_of_file", base_url=stack.simulator.base_url, path=path)
    stack.wait_until(lambda: stack.driver("prompts", batch=batch), "the first page")
    return batch


def check_not_read(stack: Stack, batch: int) -> None:
    """Without this the worker might have been done before it was killed."""
    assert stack.status(batch)["status"] == "validating"
    assert 0 < stack.driver("prompts", batch=batch) < LINES


def test_a_reader_that_is_killed_is_followed_by_another(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour()
    worker = stack.start_worker("one")
    batch = begun(stack)
    worker.kill()
    check_not_read(stack, batch)
    stack.start_worker("two")
    stack.start_sweeper()
    stack.wait_completed(batch)
    assert stack.status(batch)["total"] == LINES
    stack.check(batch, most_calls=LINES)
    assert stack.repeated_calls == 0


def test_a_reader_that_is_stopped_gives_the_input_back(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour()
    worker = stack.start_worker("one")
    batch = begun(stack)
    worker.terminate()
    assert worker.wait() == 0
    check_not_read(stack, batch)
    stack.start_worker("two")
    stack.driver("enqueue", batch=batch, times=5)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=LINES)
    assert stack.repeated_calls == 0


def test_a_batch_that_is_cancelled_while_it_is_read_leaves_nothing(stack: Stack) -> None:
    stack.start_worker("one")
    stack.start_sweeper()
    batch = begun(stack)
    stack.driver("cancel", batch=batch)
    stack.wait_ended(batch, "cancelled")
    stack.wait_until(lambda: not stack.driver("prompts", batch=batch), "the removal of the prompts")
    assert stack.simulator.calls.total() == 0
