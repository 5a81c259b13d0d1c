"""`process_batch` with a window that needs more open files than it may have."""

import resource

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import Finished, prompt_lines
from tests.processes.bulk import stored
from tests.processes.conftest import CommandLine

PROMPTS = 300
# More than are open before the first call, and fewer than the window has calls.
FEW = 150
CALLS = "SELECT SUM(calls), SUM(status = 'succeeded') FROM batches_result"


def run_within(cli: CommandLine, limits: str) -> Finished:
    """Run all prompts in one window, each with one attempt."""
    cli.path("prompts.jsonl", prompt_lines(PROMPTS))
    shell = ("/bin/sh", "-c", f'{limits}; exec "$@"', "sh")
    arguments = cli.arguments("--batch-size", str(PROMPTS), "--max-attempts", "1")
    return cli.finish(cli.start(*arguments, within=shell))


@pytest.mark.parametrize("raised", [True, False])
def test_every_prompt_is_called_once(
    cli: CommandLine,
    simulator: SimulatedProvider,
    raised: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2 * PROMPTS:
        pytest.skip(f"the system lets a process open only {hard} files")
    simulator.behaviour = Behaviour(latency="fixed:0.3")
    ended = run_within(cli, f"ulimit -Sn {FEW}" if raised else f"ulimit -n {FEW}")
    assert ended.status == 0, ended.stderr
    assert stored(cli, CALLS) == [(PROMPTS, PROMPTS)]
    assert (f"not {PROMPTS}: the limit of open files is too low" in ended.stderr) is not raised
    assert "Traceback" not in ended.stderr
