"""What a run that does not end well leaves: the results so far, and commands that can be pasted."""

import json
import shlex
from pathlib import Path

import pytest

from batches.management.bulk.next_steps import NextCommands
from batches.models import Batch
from simulator import Behaviour, SimulatedProvider
from tests.command_line import Commands, Finished, prompt_lines
from tests.management.bulk import batch_id


def paste(cli: Commands, command: str) -> Finished:
    """Run a command that a line ends with."""
    _python, _manage, *arguments = shlex.split(command.partition(": ")[2])
    return cli.run(*arguments)


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def test_a_pause_leaves_the_results_so_far_and_a_command_that_continues(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--batch-size", "4", "--max-tokens-total", "300", "--json")
    assert ended.status == 2
    batch = Batch.objects.get()
    summary = json.loads(ended.stdout)
    assert (summary["status"], summary["reason"]) == ("paused", batch.pause_reason)
    assert len(lines_of(cli.path("out.jsonl"))) == batch.succeeded
    paused, held, how = ended.stderr.splitlines()[-3:]
    assert paused.startswith("Paused: budget: token limit of 300 reached")
    assert held.endswith(f"holds the {batch.succeeded} results so far, of 60.")
    assert "--max-tokens-total" in how
    assert how.endswith("--json")
    again = paste(cli, how)
    # It spends as much again, and says how to go on from there.
    assert again.status in {0, 2}
    batch.refresh_from_db()
    assert batch.succeeded > summary["succeeded"]
    assert len(lines_of(cli.path("out.jsonl"))) == batch.succeeded


def test_the_reader_of_a_pipe_gets_no_part_but_a_command_for_it(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    budget = ("--batch-size", "4", "--max-tokens-total", "300")
    ended = cli.process_batch(*budget, "--output", "-", "--errors", cli.path("e.jsonl"))
    assert (ended.status, ended.stdout) == (2, "")
    assert f"{batch_id()}: paused: budget: token limit" in ended.stderr
    _paused, write, _how = ended.stderr.splitlines()[-3:]
    assert write.startswith("Results so far are saved. To write them: ")
    written = paste(cli, write)
    assert written.status == 0, written.stderr
    assert len(written.stdout.splitlines()) == Batch.objects.get().succeeded


def test_prompts_without_an_answer_come_with_the_command_that_runs_them_again(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("a b.jsonl", prompt_lines(3, text="[simulate: status=400 times=1] {n}"))
    ended = cli.process_batch("--output", cli.path("o u t.jsonl"), name="a b.jsonl")
    assert ended.status == 1
    how = ended.stderr.splitlines()[-1]
    assert how.startswith("3 prompts have no answer. To run what failed again: ")
    assert paste(cli, how).status == 0
    assert len(lines_of(cli.path("o u t.jsonl"))) == 3


def test_without_a_result_no_file_is_touched(cli: Commands, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(models=("another",))
    cli.path("prompts.jsonl", prompt_lines(3))
    cli.path("out.jsonl", "what was here before")
    ended = cli.process_batch()
    assert ended.status == 2
    assert f"--resume {batch_id()} --output {cli.path('out.jsonl')}" in ended.stderr
    assert lines_of(cli.path("out.jsonl")) == ["what was here before"]


@pytest.mark.parametrize("part", [7, 14, 38])
def test_an_id_may_be_shortened(cli: Commands, part: int) -> None:
    cli.path("prompts.jsonl", prompt_lines(2))
    assert cli.process_batch().status == 0
    for text in (batch_id()[:part], batch_id().removeprefix("batch_")[:part]):
        assert cli.process_batch("--resume", text, name=None).status == 0


@pytest.mark.parametrize("name", ["-x.jsonl", "--out", "a b.jsonl"])
def test_a_hint_can_be_pasted_whatever_an_output_is_called(
    cli: Commands, simulator: SimulatedProvider, name: str
) -> None:
    cli.path("prompts.jsonl", prompt_lines(2, text="[simulate: status=400 times=1] {n}"))
    arguments = [part for part in cli.arguments("--output", "-") if part not in {"--output", "-"}]
    how = cli.run(*arguments, f"--output={name}").stderr.splitlines()[-1]
    assert paste(cli, how).status == 0
    assert len(lines_of(cli.path(name))) == 2


def test_a_hint_names_no_pipe_of_this_shell() -> None:
    options = {"output": "out.jsonl", "errors": "/dev/fd/63", "json": False, "quiet": False}
    assert "/dev/fd" not in NextCommands.of(Batch(public_id="batch_1"), options).resume()
