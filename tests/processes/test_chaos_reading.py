"""Workers are killed and stopped while they read an input file; each prompt is run once."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from simulator import Behaviour
from tests.makers import MODEL
from tests.owned_process import OwnedProcess
from tests.processes.stack import ON_POSTGRESQL, SHORT_LEASE_S, Stack

pytestmark = ON_POSTGRESQL

LINES = 400
# Long lines, so that half of them fill a page: every page of 4 MiB is a transaction.
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


@dataclass(frozen=True)
class Reading:
    """A batch with a worker that has stored some of its prompts, and waits for the others."""

    batch: int
    worker: OwnedProcess
    pipe: BinaryIO
    rest: bytes

    def bring_rest(self) -> None:
        """Bring the other lines, as far as anybody reads them."""
        with suppress(BrokenPipeError):
            self.pipe.write(self.rest)


@contextmanager
def begun(stack: Stack, *, lease_s: int | None = None) -> Iterator[Reading]:
    """A batch whose input is a pipe within the block, with half of the lines in it."""
    path = input_file(stack.folder)
    batch = stack.driver("create_of_file", base_url=stack.simulator.base_url, path=path)
    (stored,) = (path for path in (stack.folder / "var" / "files").rglob("*") if path.is_file())
    content = stored.read_bytes()
    stored.unlink()
    os.mkfifo(stored)
    worker = stack.start_worker("one", lease_s=lease_s)
    half = len(content) // 2
    with stored.open("wb", buffering=0) as pipe:
        pipe.write(content[:half])
        stack.wait_until(lambda: stack.driver("prompts", batch=batch), "the first page")
        yield Reading(batch, worker, pipe, content[half:])
    stored.unlink()
    stored.write_bytes(content)


def check_not_read(stack: Stack, batch: int) -> None:
    assert stack.status(batch)["status"] == "validating"
    assert 0 < stack.driver("prompts", batch=batch) < LINES


def test_a_reader_that_is_killed_is_followed_by_another(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour()
    with begun(stack, lease_s=SHORT_LEASE_S) as reading:
        batch = reading.batch
        reading.worker.kill()
        check_not_read(stack, batch)
    stack.start_worker("two")
    stack.start_sweeper()
    stack.wait_completed(batch)
    assert stack.status(batch)["total"] == LINES
    stack.check(batch, most_calls=LINES)
    assert stack.repeated_calls == 0


def test_a_reader_that_is_stopped_gives_the_input_back(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour()
    with begun(stack) as reading:
        batch, worker = reading.batch, reading.worker
        worker.terminate()
        stack.wait_until(lambda: "shutdown" in worker.output, "its word that it goes")
        reading.bring_rest()
        assert worker.wait() == 0
        check_not_read(stack, batch)
    stack.start_worker("two")
    stack.driver("enqueue", batch=batch, times=5)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=LINES)
    assert stack.repeated_calls == 0


def test_a_batch_that_is_cancelled_while_it_is_read_leaves_nothing(stack: Stack) -> None:
    stack.start_sweeper()
    with begun(stack) as reading:
        batch = reading.batch
        stack.driver("cancel", batch=batch)
        reading.bring_rest()
    stack.wait_ended(batch, "cancelled")
    stack.wait_until(lambda: not stack.driver("prompts", batch=batch), "the removal of the prompts")
    assert stack.simulator.calls.total() == 0
