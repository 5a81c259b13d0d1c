"""docs/pilot.md is followed as it stands: its commands, and its example for the API."""

import os
import re
import subprocess
import sys
from pathlib import Path

from simulator import Behaviour, SimulatedProvider
from tests.command_line import MANAGE, ROOT, Finished
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.waiting import PATIENCE_S

PAGE = (ROOT / "docs" / "pilot.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "sh"]
SAID = [text.splitlines() for kind, text in BLOCKS if kind == "text"]
[CLIENT] = [text for kind, text in BLOCKS if kind == "python"]


def typed(cli: CommandLine, simulator: SimulatedProvider, script: str) -> Finished:
    """Run a script of the page against this provider."""
    text = script.replace("http://127.0.0.1:8900/v1", simulator.base_url)
    text = text.replace("python manage.py", f"{sys.executable} {MANAGE}")
    return cli.finish(
        subprocess.Popen(
            ["/bin/sh", "-ec", text],
            env=cli.env,
            cwd=cli.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def test_the_commands(cli: CommandLine, simulator: SimulatedProvider) -> None:
    pilot, by_rules, by_column, failing = SCRIPTS
    report, of_groups, broken = SAID

    ended = typed(cli, simulator, pilot)
    assert ended.status == 2
    assert all(line in ended.stderr for line in report), ended.stderr
    assert simulator.calls.total() == 20
    [command] = re.findall(r"To run the other 180 prompts: (.*)", ended.stderr)
    assert typed(cli, simulator, command).status == 0
    assert simulator.calls.total() == 200
    assert len((cli.folder / "out.jsonl").read_text().splitlines()) == 200

    ended = typed(cli, simulator, by_rules)
    assert ended.status == 0, ended.stderr
    assert len((cli.folder / "all.jsonl").read_text().splitlines()) == 200

    ended = typed(cli, simulator, by_column)
    assert ended.status == 2
    assert all(line in ended.stderr for line in of_groups), ended.stderr
    rows = (cli.folder / "table-out.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    assert sum(",de," in row for row in rows) == 1

    simulator.behaviour = Behaviour(latency="0.05")
    ended = typed(cli, simulator, failing)
    assert ended.status == 2
    assert all(line in ended.stderr for line in broken), ended.stderr


def test_the_example_for_the_api(api_stack: ApiStack, tmp_path: Path) -> None:
    server = api_stack.server
    env = {**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.token()}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLIENT],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    done, report, passed = ended.stdout.splitlines()
    assert done.startswith("done pilot of 20 prompts done: 0 failed")
    assert "'prompts': 20" in report
    assert passed == "passed {'total': 200, 'completed': 200, 'failed': 0}"
