"""The bulk command frozen for longer than its leases hold: a laptop that sleeps, Ctrl-Z."""

import json
import signal
import subprocess

from simulator import Behaviour, SimulatedProvider
from tests.command_line import prompt_lines
from tests.processes.bulk import stored
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until

PROMPTS = 120
WINDOW = 10
FREEZES = 3

EXPIRED = (
    "SELECT COUNT(*) FROM batches_chunk WHERE state = 'leased'"
    " AND lease_expires_at < strftime('%Y-%m-%d %H:%M:%f', 'now')"
)


def freeze(process: subprocess.Popen[str], cli: CommandLine, simulator: SimulatedProvider) -> None:
    """Freeze it with calls in flight, until its leases have run out."""
    with simulator.holding():
        wait_until(lambda: simulator.in_flight, "calls in flight")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: stored(cli, EXPIRED)[0][0], "the end of a lease")
    # Its answers have come by the time it thaws.
    process.send_signal(signal.SIGCONT)


def test_a_runner_that_thaws_loses_nothing_and_ends(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.lease_shortly()
    # Some time apart, so that each time other calls are in flight.
    simulator.behaviour = Behaviour(latency="uniform:0.1,1.5")
    cli.path("prompts.jsonl", prompt_lines(PROMPTS))
    process = cli.start(*cli.arguments("--batch-size", str(WINDOW), "--json"))
    for _ in range(FREEZES):
        freeze(process, cli, simulator)
    simulator.behaviour = Behaviour()
    ended = cli.finish(process)
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["succeeded"] == PROMPTS
    results = stored(cli, 'SELECT DISTINCT "index" FROM batches_result')
    assert len(results) == PROMPTS
    assert stored(cli, "SELECT COUNT(*) FROM batches_chunk WHERE state != 'done'")[0][0] == 0
