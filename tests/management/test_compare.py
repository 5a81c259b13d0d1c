"""`manage.py batches compare`: what it shows, writes and refuses."""

import csv
import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from batches.formats import NOTHING
from batches.models import Batch, Provider
from simulator import SimulatedProvider
from tests.command_line import Commands, Finished
from tests.comparison.makers import answered_batch

ROWS = {f"r{n}": {"truth": "good" if n % 2 else "bad"} for n in range(40)}


@pytest.fixture
def provider(cli: Commands, simulator: SimulatedProvider) -> Provider:
    """The simulated provider, in the database of the command."""
    return Provider.objects.create(name="simulated", base_url=simulator.base_url)


@pytest.fixture
def pair(provider: Provider) -> list[str]:
    """The IDs of a batch that is right about every row, and of one that always says good."""
    right = {key: {"label": row["truth"], "score": 1} for key, row in ROWS.items()}
    good = {key: {"label": "good", "score": 3} for key in list(ROWS)[:39]}
    return [
        answered_batch(provider, right, rows=ROWS, name="careful").public_id,
        answered_batch(provider, good, name="hasty\x1b[31m").public_id,
    ]


def compare(cli: Commands, *arguments: str, status: int = 0) -> Finished:
    ended = cli.run("batches", "compare", *arguments)
    assert ended.status == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_batches_are_compared(cli: Commands, pair: list[str]) -> None:
    shown = words(compare(cli, *pair, "--truth", "label=truth").stdout)
    assert shown[:2] == [
        "39 rows are in each batch and are compared.",
        "Batch 2: 1 not in it; left out.",
    ]
    one, two = shown[3:5]
    assert one.startswith(f"1 {pair[0]} careful simulated-small {NOTHING} {NOTHING} 390 195")
    assert two.startswith(f"2 {pair[1]} hasty\N{REPLACEMENT CHARACTER}[31m simulated-small")
    assert f"succeeded 1 100.0 % 91.0 to 100.0 % {NOTHING} {NOTHING}" in shown
    assert f"label right 1 100.0 % 91.0 to 100.0 % {NOTHING} {NOTHING}" in shown
    assert any(line.startswith("label right 2 48.7 %") for line in shown)
    assert any(line.startswith("label 2 48.7 %") for line in shown)
    assert "score 2 0.0 % 0.0 to 9.0 % 2 2" in shown
    place = shown.index("label:")
    assert shown[place : place + 4] == [
        *("label:", "BATCH 1 BATCH 2 ROWS", "bad good 20", "good good 19"),
    ]
    assert "label: batch 1 is best (careful)." in shown
    assert "r0: label: bad | good (truth: bad)" in shown
    assert "r0: score: 1 | 3" in shown


def test_figures_are_written_as_json(cli: Commands, pair: list[str]) -> None:
    said: Any = json.loads(compare(cli, *pair, "--truth", "label=truth", "--json").stdout)
    assert (said["rows"], said["read"]) == (39, None)
    assert [batch["batch_id"] for batch in said["batches"]] == pair
    label = next(field for field in said["fields"] if field["name"] == "label")
    assert label["truth"]["best"] == 0
    assert label["truth"]["accuracy"][0]["value"] == 1.0
    assert label["pairs"][0]["table"]["values"] == ["good", "bad"]


def test_rows_are_written_to_a_file(cli: Commands, pair: list[str]) -> None:
    output = cli.path("rows.csv")
    compare(cli, *pair, "--output", output)
    with open(output, encoding="utf-8-sig", newline="") as file:  # noqa: PTH123 - a name
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert (rows[0]["label_1"], rows[0]["label_2"], rows[0]["agree"]) == ("bad", "good", "no")
    assert rows[39]["status_2"] == "not in this batch"
    assert "exists" in compare(cli, *pair, "--output", output, status=2).stderr
    compare(cli, *pair, "--output", output, "--overwrite")


def test_what_cannot_be_compared_is_refused(
    cli: Commands, provider: Provider, pair: list[str]
) -> None:
    owner = User.objects.create(username="ann")
    hers = answered_batch(provider, {"a": {"label": "x"}}, owner=owner).public_id
    for arguments, reason in (
        (pair[:1], "choose 2 to 4 batches"),
        ([pair[0], pair[0]], "name each batch once"),
        ([pair[0], hers], "different owners"),
        ([pair[0], "nothing"], "there is no batch 'nothing'"),
        ([*pair, "--truth", "label"], "is not FIELD=COLUMN"),
        ([*pair, "--truth", "label=x"], "there is no column 'x'; there are: 'truth'"),
        ([*pair, "--output", "rows.jsonl"], "name a file that ends in .csv"),
    ):
        assert reason in compare(cli, *arguments, status=2).stderr


def test_texts_agree_and_show_what_differs(cli: Commands, provider: Provider) -> None:
    first = answered_batch(provider, {"row-1": "all fine", "row-2": "x"}, texts=True)
    second = answered_batch(
        provider, {"row-1": "all\nwrong", "row-2": ValueError("server")}, texts=True
    )
    shown = words(compare(cli, first.public_id, second.public_id).stdout)
    assert "The rows have no custom_id of their own; they are matched by their place." in shown
    assert "row-1: answer: all fine | all wrong" in shown
    assert "row-2: answer: x | (failed: server)" in shown


def test_help_teaches(cli: Commands) -> None:
    taught = cli.run("batches", "compare", "--help").stdout
    for text in ("FIELD=COLUMN", "2 to 4 batches", "--truth sentiment=label"):
        assert text in taught
    assert Batch.objects.count() == 0


def test_a_model_judges_the_rows_that_disagree(
    cli: Commands, provider: Provider, pair: list[str]
) -> None:
    created = words(compare(cli, *pair, "--judge", "simulated-small").stdout)
    judge = Batch.objects.latest("pk")
    assert f"{judge.public_id}: 39 rows to judge" in created
    assert judge.name == "Judge of careful and hasty [31m"
    assert judge.provider == provider
    here = next(line for line in created if "--resume" in line)
    assert f"process_batch --resume {judge.public_id} --output" in here
    output = ("--output", cli.path("judged.jsonl"))
    assert cli.run("process_batch", "--resume", judge.public_id, *output).status == 0
    judge.refresh_from_db()
    assert judge.succeeded == 39
    shown = words(compare(cli, *pair, "--judged", judge.public_id).stdout)
    assert f"Judged by {judge.public_id}: 39 rows, {NOTHING}" in shown
    # The simulated provider guesses.
    assert any(line.startswith("equally good: ") for line in shown)
    said = json.loads(compare(cli, *pair, "--judged", judge.public_id, "--json").stdout)
    assert said["judgements"]["rows"] == 39
    assert sum(share["value"] for share in said["judgements"]["better"]) < 1


def test_a_judge_that_cannot_be_is_refused(
    cli: Commands, provider: Provider, pair: list[str]
) -> None:
    same = answered_batch(provider, {"r0": {"label": "bad", "score": 1}}).public_id
    for arguments, reason in (
        ([pair[0], same, "--judge", "m"], "there is nothing to judge"),
        ([*pair, same, "--judge", "m"], "a judge compares two batches; name two"),
        ([*pair, "--judged", same], "does not judge these batches"),
        ([*pair, "--judge", "m", "--judged", same], "give either --judge"),
    ):
        assert reason in compare(cli, *arguments, status=2).stderr
    assert Batch.objects.count() == 3
