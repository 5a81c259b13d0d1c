"""`process_batch` is killed while it reads: the next run begins anew and leaves nothing of it."""

import signal
import subprocess
from pathlib import Path

from simulator import SimulatedProvider
from tests.command_line import prompt_lines
from tests.processes.bulk import batch_id, stored
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until

LINES = 1500
PROMPTS = "SELECT COUNT(*), COUNT(DISTINCT custom_id) FROM batches_prompt"


def begun(cli: CommandLine) -> subprocess.Popen[str]:
    """A run that has stored a page and waits for more."""
    process = cli.start(*cli.arguments(name="-"), stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(prompt_lines(LINES))
    process.stdin.flush()
    wait_until(lambda: stored(cli, "SELECT 1 FROM batches_prompt LIMIT 1"), "the first page")
    return process


def test_the_same_again_runs_each_prompt_once(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.interrupt(begun(cli), signal.SIGKILL)
    left = batch_id(cli)
    assert stored(cli, "SELECT status, total FROM batches_batch") == [("validating", 0)]
    cli.path("prompts.jsonl", prompt_lines(LINES))
    ended = cli.process_batch()
    assert ended.status == 0, ended.stderr
    assert "Removed incomplete batches of killed runs: 1." in ended.stderr
    assert simulator.calls.total() == LINES
    assert stored(cli, "SELECT status, total FROM batches_batch") == [("completed", LINES)]
    assert batch_id(cli) != left
    assert stored(cli, PROMPTS) == [(LINES, LINES)]
    assert len(Path(cli.path("out.jsonl")).read_text().splitlines()) == LINES
    assert list((cli.folder / "var" / "reading").iterdir()) == []


def test_one_that_waits_for_its_input_is_left_alone(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    waiting = begun(cli)
    cli.path("prompts.jsonl", prompt_lines(3))
    other = cli.process_batch("--output", cli.path("other.jsonl"))
    assert other.status == 0, other.stderr
    assert "Removed" not in other.stderr
    ended = cli.finish(waiting)
    assert ended.status == 0, ended.stderr
    assert stored(cli, PROMPTS + " WHERE batch_id = 1") == [(LINES, LINES)]
    assert simulator.calls.total() == LINES + 3
