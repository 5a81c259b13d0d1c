"""Ctrl-C and SIGTERM at any time: what there is by then is said in a line."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import Finished, prompt_lines
from tests.environment import MEASURED
from tests.processes.bulk import batch_id, stored
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until

AT_ONCE = "Stopped immediately. "
ALL_STORED = "Results so far are saved. To write them: "

both_signals = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)


@pytest.fixture(autouse=True)
def without_coverage(cli: CommandLine) -> None:
    """A signal that raises within its tracer would leave a lock taken."""
    for name in MEASURED:
        cli.env.pop(name, None)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """An endpoint that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def address(silent: socket.socket) -> str:
    return f"http://127.0.0.1:{silent.getsockname()[1]}/v1"


def assert_interrupted(ended: Finished, number: signal.Signals, word: str) -> None:
    assert ended.status == 128 + number
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


@both_signals
def test_while_reading_no_batch_is_made(cli: CommandLine, number: signal.Signals) -> None:
    process = cli.start(*cli.arguments(name="-"), stdin=-1)
    assert process.stdin
    process.stdin.write(prompt_lines(1500))
    process.stdin.flush()
    wait_until(lambda: stored(cli, "SELECT 1 FROM batches_prompt LIMIT 1"), "the first page")
    assert_interrupted(cli.interrupt(process, number), number, "No batch was created.")
    assert stored(cli, "SELECT * FROM batches_batch") == []
    assert stored(cli, "SELECT * FROM batches_prompt") == []


@both_signals
def test_while_a_provider_is_looked_at_no_batch_is_made(
    cli: CommandLine, silent: socket.socket, number: signal.Signals
) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    process = cli.start(*cli.arguments("--base-url", address(silent)))
    connection, _ = silent.accept()
    with connection:
        assert_interrupted(cli.interrupt(process, number), number, "No batch was created.")
    assert stored(cli, "SELECT * FROM batches_batch") == []


def test_before_a_resumed_batch_goes_on_it_is_named(
    cli: CommandLine, silent: socket.socket
) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch().status == 0
    stored(cli, "UPDATE batches_batch SET status = 'in_progress'")
    stored(cli, "UPDATE batches_provider SET base_url = ?", address(silent))
    process = cli.start(*cli.arguments("--resume", batch_id(cli), name=None))
    connection, _ = silent.accept()
    with connection:
        ended = cli.interrupt(process)
    assert_interrupted(ended, signal.SIGINT, f"--resume {batch_id(cli)}")


@both_signals
def test_while_results_are_written_the_batch_is_named(
    cli: CommandLine, simulator: SimulatedProvider, number: signal.Signals
) -> None:
    cli.path("prompts.jsonl", prompt_lines(1500))
    process = cli.start(*cli.arguments("--output", "-", "--quiet"))
    # More is written than the pipe holds, and nobody reads on.
    assert process.stdout
    assert process.stdout.read(1)
    ended = cli.interrupt(process, number)
    assert_interrupted(ended, number, f"--resume {batch_id(cli)}")
    assert simulator.calls.total() == 1500
    again = cli.process_batch("--resume", batch_id(cli), name=None)
    assert again.status == 0
    assert len(Path(cli.path("out.jsonl")).read_text().splitlines()) == 1500


@both_signals
def test_the_second_time_it_leaves_at_once_with_a_line(
    cli: CommandLine, simulator: SimulatedProvider, number: signal.Signals
) -> None:
    # Calls that never end hold up whoever waits for them.
    simulator.behaviour = Behaviour(hang_rate=1)
    cli.path("prompts.jsonl", prompt_lines(10))
    process = cli.start(*cli.arguments())
    wait_until(lambda: simulator.calls.total() == 10, "calls in flight")
    cli.stop(process, number)
    ended = cli.interrupt(process, number)
    assert_interrupted(ended, number, f"{AT_ONCE}{ALL_STORED}")
    written, continued = ended.stderr.splitlines()[-2:]
    outputs = f"{batch_id(cli)} --output {cli.path('out.jsonl')}"
    assert written.endswith(f"batches results {outputs} --overwrite")
    assert continued.endswith(f"process_batch --resume {outputs}")


@both_signals
def test_a_stop_keeps_its_status_and_summary_if_the_output_cannot_be_written(
    cli: CommandLine, simulator: SimulatedProvider, number: signal.Signals
) -> None:
    cli.path("prompts.jsonl", prompt_lines(500))
    folder = Path(cli.path("gone"))
    folder.mkdir()
    output = str(folder / "out.jsonl")
    with simulator.holding(after=20):
        process = cli.start(*cli.arguments("--output", output, "--batch-size", "4", "--json"))
        wait_until(lambda: stored(cli, "SELECT * FROM batches_result"), "the first results")
        folder.rmdir()
        cli.stop(process, number)
    ended = cli.finish(process)
    assert_interrupted(ended, number, f"cannot write {output}")
    assert json.loads(ended.stdout)["status"] == "stopped"
    assert f"--resume {batch_id(cli)}" in ended.stderr
