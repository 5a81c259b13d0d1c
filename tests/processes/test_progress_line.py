"""The progress of `process_batch` on terminals of two widths, and without a terminal."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import MANAGE
from tests.processes.conftest import CommandLine
from tests.terminal import Terminal

OPTIONS = ("--batch-size", "10", "--rpm", "300", "--price", "100,200", "--max-attempts", "4")


def on_terminal(
    cli: CommandLine, width: int, arguments: Sequence[str]
) -> tuple[int, str, Terminal]:
    """Run a command to its end, with its output in a file; return status, output and terminal."""
    with (cli.folder / "stdout").open("w+") as stdout:
        command = [sys.executable, str(MANAGE), *arguments]
        terminal = Terminal(
            command, width=width, env=cli.env, folder=cli.folder, stdout=stdout.fileno()
        )
        with terminal:
            status = terminal.ended()
        stdout.seek(0)
        return status, stdout.read(), terminal


def prompts(path: Path) -> None:
    """Write prompts of which some are retried, while others are answered before and after them."""
    good = [f"prompt {n}" for n in range(24)]
    again = [f"[simulate: status=503 times=3] {n}" for n in range(5)]
    texts = [*good[:10], *again, "[simulate: status=400] bad", *good[10:]]
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))


@pytest.mark.parametrize("width", [80, 200])
def test_the_progress_fills_the_terminal_and_is_not_wider(
    cli: CommandLine, simulator: SimulatedProvider, width: int
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.2")
    prompts(cli.folder / "prompts.jsonl")
    arguments = cli.arguments(*OPTIONS, "--output", "-")
    status, stdout, terminal = on_terminal(cli, width, arguments)
    assert status == 1, terminal.screen
    assert len(stdout.splitlines()) == 30
    lines = terminal.lines
    bars = [line for line in lines if "━" in line]
    assert {len(line) for line in bars} == {width}
    shown = [line for line in lines if "━" in line or "elapsed" in line or "in flight" in line]
    assert all(len(line) <= width for line in shown)
    for part in (
        r"\d+ of 30",
        r"\d+(\.\d)?/(s|min)",
        r"\d in flight",
        r"[\d,]+ tokens",
        r"\$0\.\d{4}",
        r"1 failed \(request 1\)",
        r"elapsed \d+",
        r"left \d+",
        r"held to 5/s, configured on the provider",
        r"retrying \d prompts?: HTTP 503",
    ):
        assert re.search(part, "\n".join(lines)), part
    has_all = [line for line in bars if "tokens" in line and "elapsed" in line and "held" in line]
    assert bool(has_all) is (width == 200)


def test_without_a_terminal_a_line_says_time_and_rate(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.2")
    prompts(cli.folder / "prompts.jsonl")
    ended = cli.process_batch(*OPTIONS)
    line = re.compile(
        r"^\d\d:\d\d:\d\d UTC \d+ of 30 prompts, \d+(\.\d)?/(s|min), .*\d in flight, .*elapsed \d+",
        re.MULTILINE,
    )
    assert line.search(ended.stderr), ended.stderr
    assert "\x1b" not in ended.stderr
