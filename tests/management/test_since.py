"""`process_batch --since`: only what has changed since an earlier batch is sent."""

import json

import pytest

from batches.actions import batches as batch_actions
from batches.models import Batch
from simulator import SimulatedProvider
from tests.command_line import Commands, Finished

ROWS = {f"row {number}": f"Rate {number}" for number in range(60)}
CHANGED = {f"row {number}": f"Rate {number} again" for number in range(7)}
NEW = {f"new {number}": f"Rate a new one, {number}" for number in range(5)}
GONE = [f"row {number}" for number in range(35, 60)]
NEXT = {key: text for key, text in {**ROWS, **CHANGED, **NEW}.items() if key not in GONE}


def run(cli: Commands, rows: dict[str, str], *options: str, name: str = "in.jsonl") -> Finished:
    lines = (json.dumps({"custom_id": key, "prompt": text}) for key, text in rows.items())
    cli.path(name, "\n".join(lines))
    ended = cli.process_batch(*options, name=name)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.parametrize("reuse", ["off", "batch", "owner"])
def test_only_what_has_changed_is_sent(
    cli: Commands, simulator: SimulatedProvider, reuse: str
) -> None:
    run(cli, ROWS, "--reuse", reuse, name="monday.jsonl")
    ended = run(cli, NEXT, "--since", "monday.jsonl", "--json")
    assert ended.status == 0, ended.stderr
    assert simulator.calls.total() == len(ROWS) + len(CHANGED) + len(NEW)
    assert ": same 28, changed 7, new 5, gone 25" in ended.stderr
    assert "Gone: row 35, row 36," in ended.stderr
    assert "row 54 and 5 more" in ended.stderr
    figures = json.loads(ended.stdout)
    assert figures["reused"] == 28
    told = figures["since"]
    assert (told["same"], told["changed"], told["new"], told["gone"]) == (28, 7, 5, 25)
    assert list(told["gone_ids"]) == GONE


def test_without_custom_ids_equal_prompts_are_used_all_the_same(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("in.txt", "a\nb\n")
    cli.process_batch(name="in.txt")
    cli.path("next.txt", "c\nb\n")
    ended = cli.process_batch("--since", "in.txt", name="next.txt")
    assert ended.status == 0, ended.stderr
    assert simulator.calls.total() == 3
    assert "give the prompts a custom_id" in ended.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--since", "nothing"), "there is no batch 'nothing'; the newest is batch_"),
        (("--since", "in.jsonl", "--reuse", "off"), "--since uses answers of another batch"),
        (("--since", "in.jsonl", "--reuse", "batch"), "--since uses answers of another batch"),
        (("--resume", "in.jsonl", "--since", "in.jsonl"), "--since cannot be used with --resume"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    cli: Commands, options: tuple[str, ...], words: str
) -> None:
    run(cli, {"a": "Rate"})
    name = None if "--resume" in options else "in.jsonl"
    ended = cli.process_batch(*options, name=name)
    assert ended.status == 2
    assert words in ended.stderr
    assert Batch.objects.count() == 1


def test_a_batch_that_has_not_ended_is_refused(cli: Commands) -> None:
    run(cli, {"a": "Rate"})
    batch = Batch.objects.get()
    Batch.objects.filter(pk=batch.pk).update(status="in_progress")
    ended = run(cli, {"a": "Rate"}, "--since", batch.public_id)
    assert ended.status == 2
    assert "has not ended, so its answers cannot be used" in ended.stderr
    Batch.objects.filter(pk=batch.pk).update(status="completed")
    batch_actions.delete_batch(batch)
