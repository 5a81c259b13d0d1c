"""The commands of docs/first-hour.md do what it says, in its order."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import MANAGE, ROOT, Finished
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until

PAGE = (ROOT / "docs" / "first-hour.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "sh"]
SAID = [text.splitlines() for kind, text in BLOCKS if kind == "text"]
[TABLE] = [text for kind, text in BLOCKS if kind == "csv"]
[CLIENT] = [text for kind, text in BLOCKS if kind == "python"]


class Newcomer:
    """Types the commands of the page into a shell, and pastes what they print."""

    def __init__(self, cli: CommandLine, simulator: SimulatedProvider) -> None:
        self.cli = cli
        self._simulator = simulator
        self.env = {**cli.env, "DEMO_KEY": "demo-key"}

    def command(self, script: str) -> str:
        """Return the script for this provider; the shell becomes its last command."""
        text = script.replace("http://127.0.0.1:8900/v1", self._simulator.base_url)
        text = text.replace("python manage.py", f"{sys.executable} {MANAGE}")
        *before, last = text.strip().splitlines()
        return "\n".join([*before, f"exec {last}"])

    def start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                "/bin/sh",
                "-ec",
                self.command(script).replace(f"\n{sys.executable}", f"\nexec {sys.executable}"),
            ],
            env=self.env,
            cwd=self.cli.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def types(self, script: str) -> Finished:
        return self.cli.finish(self.start(script))

    def pastes(self, ended: Finished, after: str) -> Finished:
        [command] = re.findall(rf"{after} (.*)", ended.stderr)
        return self.types(command)


def assert_said(ended: Finished, lines: list[str]) -> None:
    for line in lines:
        assert line in ended.stderr, ended.stderr


@pytest.fixture
def newcomer(cli: CommandLine, simulator: SimulatedProvider) -> Newcomer:
    simulator.behaviour = Behaviour(api_key="demo-key", latency="0.1")
    cli.path("questions.csv", TABLE.replace("\n", "\r\n").encode("cp1252"))
    cli.path("many.txt", "".join(f"Question {n}\n" for n in range(60)))
    cli.path("failing.txt", "Why?\nWho? [simulate: status=500 times=1]\n")
    return Newcomer(cli, simulator)


def test_the_walk_of_a_newcomer(newcomer: Newcomer, simulator: SimulatedProvider) -> None:
    table, many, budget, wrong, failing, results = SCRIPTS
    own, stopped, spent, refused, left = SAID
    folder = newcomer.cli.folder

    ended = newcomer.types(table)
    assert ended.status == 0, ended.stderr
    assert_said(ended, own)
    with (folder / "answers.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == ["row-1", "row-3"]

    before = simulator.calls.total()
    process = newcomer.start(many)
    wait_until(lambda: simulator.calls.total() > before + 4, "calls of the longer batch")
    process.send_signal(signal.SIGINT)
    ended = newcomer.cli.finish(process)
    assert ended.status == 130, ended.stderr
    assert_said(ended, stopped)
    assert newcomer.pastes(ended, "To continue:").status == 0
    assert len((folder / "many.jsonl").read_text().splitlines()) == 60

    ended = newcomer.types(budget)
    assert ended.status == 2
    assert_said(ended, spent)
    assert newcomer.pastes(ended, "To spend as much again:").status in {0, 2}

    ended = newcomer.types(wrong)
    assert ended.status == 2
    assert_said(ended, refused)
    assert newcomer.pastes(ended, "To continue:").status == 0

    ended = newcomer.types(failing)
    assert ended.status == 1
    assert_said(ended, left)
    assert newcomer.pastes(ended, re.escape(left[0])).status == 0
    [identifier] = set(re.findall(r"--retry (\w+)", ended.stderr))
    ended = newcomer.types(results.replace("BATCH_ID", identifier))
    assert ended.status == 0, ended.stderr
    assert (folder / "results.csv").exists()


def test_the_official_client_makes_a_batch(api_stack: ApiStack, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "OPENAI_BASE_URL": api_stack.server.base_url,
        "OPENAI_API_KEY": api_stack.server.token(),
    }
    command = [sys.executable, "-c", CLIENT]
    said = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("batch_")
