"""docs/escalate.md is followed as it stands: its commands, and its example for the API."""

import re
from pathlib import Path

from simulator import SimulatedProvider
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.processes.doc_pages import blocks_of, lines_of_client, typed

[SCRIPT] = blocks_of("escalate.md", "sh")
[SAID] = map(str.splitlines, blocks_of("escalate.md", "text"))
[CLIENT] = blocks_of("escalate.md", "python")
[ENGINE] = blocks_of("escalate.md", "py")


def test_the_commands(cli: CommandLine, simulator: SimulatedProvider) -> None:
    ended = typed(cli, simulator, SCRIPT)
    assert ended.status == 0, ended.stderr
    table = re.sub(r"[ │]+", " ", ended.stderr)
    assert all(line in table for line in SAID), table
    assert simulator.by_model == {"simulated-small": 50, "simulated-large": 10}


def test_the_example_for_the_api(api_stack: ApiStack, tmp_path: Path) -> None:
    said = lines_of_client(api_stack, CLIENT, tmp_path)
    assert said == [
        "{'total': 10, 'completed': 10, 'failed': 0} {'prompts': 1, 'succeeded': 1}",
        "[('simulated-small', 'refusal', 1), ('simulated-large', None, 1)]",
    ]


def test_the_example_for_the_engine() -> None:
    names: dict[str, object] = {}
    exec(ENGINE, names)  # noqa: S102 - the example of the page
    assert "some-larger-model" in str(names["ladder"])
