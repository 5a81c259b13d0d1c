"""`process_batch --pilot`, and what follows its pause."""

import json
import re
import shlex

import pytest

from batches.actions.options import BatchOptions
from batches.models import Batch
from simulator import SimulatedProvider
from tests.command_line import Commands, Finished, prompt_lines
from tests.management.bulk import batch_id

PRICE = ("--price", "10,20")


def paste(cli: Commands, ended: Finished, after: str) -> Finished:
    """Run the command that was printed after these words."""
    [command] = re.findall(rf"^{after}: (.*)$", ended.stderr, re.MULTILINE)
    _python, _manage, *arguments = shlex.split(command)
    return cli.run(*arguments)


def test_a_pilot_pauses_with_its_report_and_the_commands_for_it(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--pilot", "6", "--batch-size", "8", *PRICE)
    assert ended.status == 2
    assert simulator.calls.total() == 6
    assert re.search(
        r"^Paused: pilot of 6 prompts done: 0 failed, "
        r"about \$\d\.\d+ \(\$\d\.\d+ to \$\d\.\d+\)"
        " for all 60 prompts; resume to go on$",
        ended.stderr,
        re.MULTILINE,
    )
    for row in ("whole batch", "cost per prompt", "time for the rest", "90% confidence"):
        assert row in ended.stderr
    assert "run the failed prompts of the pilot" not in ended.stderr
    assert f"batches cancel {batch_id()}" in ended.stderr
    again = paste(cli, ended, "To run the other 54 prompts")
    assert again.status == 0, again.stderr
    assert simulator.calls.total() == 60
    assert len((cli.folder / "out.jsonl").read_text().splitlines()) == 60


def test_the_failed_prompts_of_a_pilot_are_run_again(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    lines = [{"prompt": f"{number} [simulate: status=500 times=1]"} for number in range(20)]
    cli.path("prompts.jsonl", "\n".join(map(json.dumps, lines)))
    ended = cli.process_batch("--pilot", "4", "--max-attempts", "1")
    assert ended.status == 2
    again = paste(cli, ended, "To run the failed prompts of the pilot again")
    assert again.status == 2
    assert "pilot of 4 prompts done: 0 failed" in again.stderr
    assert simulator.calls.total() == 8


@pytest.mark.parametrize("options", [("--yes",), ("--continue-when", "max_failed=0.5")])
def test_a_pilot_goes_on_by_itself(
    cli: Commands, simulator: SimulatedProvider, options: tuple[str, ...]
) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    ended = cli.process_batch("--pilot", "4", *options)
    assert ended.status == 0, ended.stderr
    assert "The rules of the pilot hold" in ended.stderr
    assert simulator.calls.total() == 20


def test_a_broken_rule_is_told(cli: Commands) -> None:
    lines = [{"prompt": f"{number} [simulate: status=400]"} for number in range(20)]
    lines[2] = {"prompt": "fine"}
    cli.path("prompts.jsonl", "\n".join(map(json.dumps, lines)))
    ended = cli.process_batch("--pilot", "4", "--continue-when", "max_failed=0.05", *PRICE)
    assert ended.status == 2
    assert "3 of 4 prompts failed (75.00%), more than max_failed of 0.05" in ended.stderr


def test_the_report_is_in_the_json_of_the_command_and_of_show(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    ended = cli.process_batch("--pilot", "4", "--json", *PRICE)
    summary = json.loads(ended.stdout)
    assert summary["status"] == "paused"
    assert summary["pilot"]["cost"]["likely"] == pytest.approx(5 * summary["cost"])
    shown = json.loads(cli.run("batches", "show", batch_id(), "--json").stdout)
    assert shown["pilot"] == summary["pilot"]


def test_show_has_the_report_and_what_can_be_done(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    cli.process_batch("--pilot", "4", *PRICE)
    shown = cli.run("batches", "show", batch_id()).stdout
    assert "whole batch" in shown
    assert f"batches resume {batch_id()}" in shown
    assert "To cancel it:" in shown
    cli.run("batches", "resume", batch_id())
    assert Batch.objects.get().pause_reason == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pilot", "0"), "argument --pilot: must be between 1 and"),
        (("--pilot", "some"), "argument --pilot: 'some' is not a whole number"),
        (("--yes",), "--yes requires --pilot N"),
        (("--pilot-by", "a"), "--pilot-by requires --pilot N"),
        (("--pilot", "1", "--pilot-by", "a"), "--pilot-by requires --template"),
        (
            ("--pilot", "1001", "--pilot-by", "a", "--template", "t.j2"),
            "--pilot-by allows --pilot up to 1000",
        ),
        (("--continue-when", "max_failed=0.1"), "--continue-when requires --pilot N"),
        (("--pilot", "5", "--continue-when", "max_fail=1"), "There is no 'max_fail'."),
        (("--pilot", "5", "--continue-when", "max_failed=2"), "a number of at most 1"),
        (("--pilot", "5", "--yes", "--continue-when", "max_failed=1"), "cannot be combined"),
    ],
)
def test_other_options_are_refused(cli: Commands, arguments: tuple[str, ...], message: str) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    ended = cli.process_batch(*arguments)
    assert ended.status == 2
    assert message in ended.stderr
    assert not Batch.objects.exists()


def test_a_resumed_batch_keeps_its_pilot(cli: Commands) -> None:
    ended = cli.process_batch("--resume", "batch_0", "--pilot", "5", name=None)
    assert ended.status == 2
    assert "--pilot cannot be used with --resume" in ended.stderr


def test_a_batch_has_no_pilot_by_default() -> None:
    assert BatchOptions().pilot is None


def test_a_broken_rule_leaves_a_command_that_continues_without_it(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    lines = [
        {"prompt": f"{number} {'[simulate: status=400]' if number % 2 else ''}"}
        for number in range(80)
    ]
    cli.path("prompts.jsonl", "\n".join(map(json.dumps, lines)))
    ended = cli.process_batch("--batch-size", "5", "--stop-when", "max_failed=0.05")
    assert ended.status == 2
    assert re.search(r"^Paused: rule: \d+ of \d+ prompts failed", ended.stderr, re.MULTILINE)
    shown = cli.run("batches", "show", batch_id()).stdout
    assert "max_failed=0.05" in shown
    assert "--stop-when none" in shown
    before = simulator.calls.total()
    again = cli.process_batch("--resume", batch_id(), name=None)
    assert (again.status, simulator.calls.total()) == (2, before)
    other = cli.run("batches", "resume", batch_id(), "--stop-when", "max_failed=0.1")
    assert other.status == 0, other.stderr
    assert Batch.objects.get().stop_when == {"max_failed": 0.1}
    assert cli.process_batch("--resume", batch_id(), name=None).status == 2
    last = paste(cli, ended, "To continue without the rule")
    assert last.status == 1, last.stderr
    assert simulator.calls.total() == 80
