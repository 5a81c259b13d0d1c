"""docs/reuse.md is followed as it stands: its commands, and its example for the API."""

import re
from pathlib import Path

from simulator import SimulatedProvider
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.processes.doc_pages import blocks_of, lines_of_client, typed

SCRIPTS = blocks_of("reuse.md", "sh")
SAID = list(map(str.splitlines, blocks_of("reuse.md", "text")))
[CLIENT] = blocks_of("reuse.md", "python")


def test_the_commands(cli: CommandLine, simulator: SimulatedProvider) -> None:
    for script, said in zip(SCRIPTS, SAID, strict=True):
        ended = typed(cli, simulator, script)
        assert ended.status == 0, ended.stderr
        table = re.sub(r"[ │]+", " ", ended.stderr)
        assert all(line in table for line in said), table
    assert simulator.calls.total() == 100 + 3 + 3 + 2


def test_the_example_for_the_api(api_stack: ApiStack, tmp_path: Path) -> None:
    said = lines_of_client(api_stack, CLIENT, tmp_path)
    assert said == [
        "{'total': 30, 'completed': 30, 'failed': 0} 20",
        "True 0 line-10",
    ]
