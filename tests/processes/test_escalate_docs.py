"""docs/escalate.md is followed as it stands: its commands, and its example for the API."""

import os
import re
import subprocess
import sys
from pathlib import Path

from simulator import SimulatedProvider
from tests.command_line import ROOT
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.processes.test_pilot_docs import typed
from tests.waiting import PATIENCE_S

PAGE = (ROOT / "docs" / "escalate.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
[SCRIPT] = [text for kind, text in BLOCKS if kind == "sh"]
[SAID] = [text.splitlines() for kind, text in BLOCKS if kind == "text"]
[CLIENT] = [text for kind, text in BLOCKS if kind == "python"]
[ENGINE] = [text for kind, text in BLOCKS if kind == "py"]


def test_the_commands(cli: CommandLine, simulator: SimulatedProvider) -> None:
    ended = typed(cli, simulator, SCRIPT)
    assert ended.status == 0, ended.stderr
    table = re.sub(r"[ │]+", " ", ended.stderr)
    assert all(line in table for line in SAID), table
    assert simulator.by_model == {"simulated-small": 50, "simulated-large": 10}


def test_the_example_for_the_api(api_stack: ApiStack, tmp_path: Path) -> None:
    server = api_stack.server
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLIENT],
        env={**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.token()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines() == [
        "{'total': 10, 'completed': 10, 'failed': 0} {'prompts': 1, 'succeeded': 1}",
        "[('simulated-small', 'refusal', 1), ('simulated-large', None, 1)]",
    ]


def test_the_example_for_the_engine() -> None:
    names: dict[str, object] = {}
    exec(ENGINE, names)  # noqa: S102 - the example of the page
    assert "some-larger-model" in str(names["ladder"])
