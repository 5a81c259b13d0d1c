"""docs/compare.md is followed as it stands."""

import csv

from simulator import SimulatedProvider
from tests.processes.conftest import CommandLine
from tests.processes.doc_pages import blocks_of, typed

[RUN, COMPARE] = blocks_of("compare.md", "sh")
[SAID] = map(str.splitlines, blocks_of("compare.md", "text"))


def test_the_commands(cli: CommandLine, simulator: SimulatedProvider) -> None:
    for script in (RUN, COMPARE):
        ended = typed(cli, simulator, script)
        assert ended.status == 0, ended.stderr
    assert [line for line in SAID if line not in ended.stdout.splitlines()] == [], ended.stdout
    with (cli.folder / "rows.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert {row["sentiment_1"] for row in rows} == {"good", "bad"}
    assert {row["agree"] for row in rows} == {"yes", "no"}
