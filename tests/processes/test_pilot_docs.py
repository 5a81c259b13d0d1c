"""docs/pilot.md is followed as it stands: its commands, and its example for the API."""

import re
from pathlib import Path

from simulator import Behaviour, SimulatedProvider
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.processes.doc_pages import blocks_of, lines_of_client, typed

SCRIPTS = blocks_of("pilot.md", "sh")
SAID = list(map(str.splitlines, blocks_of("pilot.md", "text")))
[CLIENT] = blocks_of("pilot.md", "python")


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
    said = lines_of_client(api_stack, CLIENT, tmp_path)
    done, report, passed = said
    assert done.startswith("done pilot of 20 prompts done: 0 failed")
    assert "'prompts': 20" in report
    assert passed == "passed {'total': 200, 'completed': 200, 'failed': 0}"
