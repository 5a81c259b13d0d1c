"""Kill `process_batch` while it reads: a later run starts over and removes what was stored."""

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
NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
LAPSED = f"SELECT 1 FROM batches_batch WHERE ingest_expires_at < {NOW}"  # noqa: S608 - a constant
LONG_AGO = "UPDATE batches_batch SET ingest_expires_at = '2026-01-01 00:00:00'"
REMOVED = "Removed incomplete batches of killed runs: 1."


def begun(cli: CommandLine) -> subprocess.Popen[str]:
    """A run that has stored a page and waits for more."""
    cli.lease_shortly()
    process = cli.start(*cli.arguments(name="-"), stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(prompt_lines(LINES))
    process.stdin.flush()
    wait_until(lambda: stored(cli, "SELECT 1 FROM batches_prompt LIMIT 1"), "the first page")
    return process


def killed(cli: CommandLine) -> str:
    """The batch of a run that was killed, and whose lease ran out long ago."""
    cli.interrupt(begun(cli), signal.SIGKILL)
    assert stored(cli, "SELECT status, total FROM batches_batch") == [("validating", 0)]
    wait_until(lambda: stored(cli, LAPSED), "the end of the lease")
    # Its database might have been away; nobody else can read its input, so there is no hurry.
    assert "purged 0" in cli.run("sweep").stdout
    stored(cli, LONG_AGO)
    return batch_id(cli)


def test_the_same_again_runs_each_prompt_once(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    left = killed(cli)
    cli.path("prompts.jsonl", prompt_lines(LINES))
    ended = cli.process_batch()
    assert ended.status == 0, ended.stderr
    assert REMOVED in ended.stderr
    assert simulator.calls.total() == LINES
    assert stored(cli, "SELECT status, total FROM batches_batch") == [("completed", LINES)]
    assert batch_id(cli) != left
    assert stored(cli, PROMPTS) == [(LINES, LINES)]
    assert len(Path(cli.path("out.jsonl")).read_text().splitlines()) == LINES


def test_a_sweeper_removes_what_is_left(cli: CommandLine) -> None:
    killed(cli)
    assert "purged 1" in cli.run("sweep").stdout
    assert stored(cli, "SELECT 1 FROM batches_batch") == []
    assert stored(cli, PROMPTS) == [(0, 0)]


def test_one_that_waits_for_its_input_is_left_alone(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    first = f"SELECT ingest_expires_at < {NOW}, ingest_expires_at FROM batches_batch WHERE id = 1"  # noqa: S608 - the same
    waiting = begun(cli)
    [(_, held_until)] = stored(cli, first)
    # For longer than a lease it gets no prompt, and keeps the batch all the same.
    wait_until(lambda: stored(cli, f"SELECT {NOW} > ?", held_until) == [(1,)], "a whole lease")
    cli.path("prompts.jsonl", prompt_lines(3))
    other = cli.process_batch("--output", cli.path("other.jsonl"))
    assert other.status == 0, other.stderr
    assert "Removed" not in other.stderr
    assert "purged 0" in cli.run("sweep").stdout
    ended = cli.finish(waiting)
    assert ended.status == 0, ended.stderr
    assert stored(cli, PROMPTS + " WHERE batch_id = 1") == [(LINES, LINES)]
    assert simulator.calls.total() == LINES + 3


def test_one_that_stood_still_until_its_batch_was_removed_says_so(cli: CommandLine) -> None:
    frozen = begun(cli)
    frozen.send_signal(signal.SIGSTOP)
    stored(cli, LONG_AGO)
    assert "purged 1" in cli.run("sweep").stdout
    frozen.send_signal(signal.SIGCONT)
    ended = cli.finish(frozen)
    assert ended.status == 2
    assert "stood still for longer than 20 s" in ended.stderr
    assert stored(cli, PROMPTS) == [(0, 0)]
