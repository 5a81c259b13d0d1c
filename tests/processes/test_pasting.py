"""The commands that are printed for the next step work when they are pasted into a shell."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import MANAGE, Finished, prompt_lines
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until

PROMPTS = 40
HELD_AFTER = 16
COMMAND = re.compile(r"^.*?: (\S*python\S* \S*manage\.py .*)$", re.MULTILINE)


class User:
    """Runs the command in a situation, and pastes what it printed."""

    def __init__(self, cli: CommandLine, simulator: SimulatedProvider) -> None:
        self.cli = cli
        self.simulator = simulator

    def runs(self, *options: str) -> Finished:
        return self.cli.process_batch(*options)

    def starts(self, *options: str) -> "subprocess.Popen[str]":
        """Start a run whose answers are held after the first ones, and wait for these calls."""
        process = self.cli.start(*self.cli.arguments("--batch-size", "4", *options))
        wait_until(lambda: self.simulator.calls.total() > HELD_AFTER, "some calls")
        return process

    def pastes(self, command: str) -> Finished:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            env=self.cli.env,
            cwd=self.cli.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.cli.finish(process)


@pytest.fixture
def user(cli: CommandLine, simulator: SimulatedProvider) -> User:
    cli.path("prompts.jsonl", prompt_lines(PROMPTS))
    return User(cli, simulator)


def stopped(user: User, options: Sequence[str]) -> Finished:
    with user.simulator.holding(after=HELD_AFTER):
        process = user.starts(*options)
        user.cli.stop(process)
    return user.cli.finish(process)


def stopped_twice(user: User, options: Sequence[str]) -> Finished:
    # The next run waits for the leases that this one leaves.
    user.cli.lease_shortly()
    # The calls do not end, so that the first signal is not enough.
    with user.simulator.holding(after=HELD_AFTER):
        process = user.starts(*options)
        user.cli.stop(process)
        return user.cli.interrupt(process)


def out_of_budget(user: User, options: Sequence[str]) -> Finished:
    return user.runs("--batch-size", "4", "--max-tokens-total", "300", *options)


def refused_key(user: User, options: Sequence[str]) -> Finished:
    user.simulator.behaviour = Behaviour(api_key="right")
    user.cli.env["KEY"] = "wrong"
    ended = user.runs("--api-key-env", "KEY", *options)
    user.cli.env["KEY"] = "right"
    return ended


def wrong_model(user: User, options: Sequence[str]) -> Finished:
    user.simulator.behaviour = Behaviour(models=("another",))
    ended = user.runs(*options)
    user.simulator.behaviour = Behaviour()
    return ended


def some_failed(user: User, options: Sequence[str]) -> Finished:
    bad = prompt_lines(4, text="[simulate: status=400 times=1] {n}").replace("id-", "bad-")
    user.cli.path("prompts.jsonl", prompt_lines(PROMPTS - 4) + bad)
    return user.runs(*options)


@dataclass(frozen=True)
class Situation:
    """How a run ends, and what its next commands do."""

    arrange: Callable[[User, Sequence[str]], Finished]
    status: int
    # The words before each command.
    leads: tuple[str, ...]
    # The status of the last of them, which continues.
    ends: tuple[int, ...] = (0,)


STOP = Situation(stopped, 130, ("To continue",))
STOP_TWICE = Situation(stopped_twice, 130, ("To write them", "To continue"))
BUDGET = Situation(out_of_budget, 2, ("To spend as much again",), (0, 2))
KEY = Situation(refused_key, 2, ("To continue",))
MODEL = Situation(wrong_model, 2, ("To continue",))
FAILED = Situation(some_failed, 1, ("To run what failed again",))
TO_PIPE = ("--output", "-")
CASES: dict[str, tuple[Situation, tuple[str, ...]]] = {
    "stop": (STOP, ("--output", "the answers.csv", "--overwrite")),
    "stop, JSON": (STOP, ("--output", "out.jsonl", "--json", "--overwrite")),
    "stop twice": (STOP_TWICE, ("--output", "it's.csv", "--errors", "bad.csv", "--overwrite")),
    "budget": (BUDGET, ("--output", "out.jsonl", "--errors", "bad.csv", "--overwrite", "--quiet")),
    "key": (KEY, ("--output", "out.csv", "--json", "--overwrite")),
    "model": (MODEL, ("--output", "out.jsonl", "--overwrite")),
    "failures": (FAILED, ("--output", "out.csv", "--errors", "bad.jsonl", "--overwrite")),
}


def rows_in(path: Path) -> list[object]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    return list(path.read_text().splitlines())


def outputs_in(folder: Path, options: Sequence[str]) -> Iterator[Path]:
    for flag, value in pairwise(options):
        if flag in {"--output", "--errors"}:
            yield folder / value


@pytest.mark.parametrize("name", CASES)
def test_the_next_commands_work_when_they_are_pasted(user: User, name: str) -> None:
    situation, options = CASES[name]
    for path in outputs_in(user.cli.folder, options):
        path.write_text("of an earlier batch")
    ended = situation.arrange(user, options)
    assert ended.status == situation.status, ended.stderr
    leads = [match[0].partition(": ")[0] for match in COMMAND.finditer(ended.stderr)]
    assert len(leads) == len(situation.leads), ended.stderr
    assert all(lead.endswith(end) for lead, end in zip(leads, situation.leads, strict=True))
    *before, last = COMMAND.findall(ended.stderr)
    for command in before:
        assert user.pastes(command).status == 0
    again = user.pastes(last)
    assert again.status in situation.ends, again.stderr
    assert ("--json" in options) is again.stdout.startswith("{")
    rows = sum(len(rows_in(path)) for path in outputs_in(user.cli.folder, options))
    assert rows == PROMPTS if again.status == 0 else 0 < rows < PROMPTS


def test_a_pipe_gets_the_command_for_its_results(user: User) -> None:
    ended = out_of_budget(user, TO_PIPE)
    write, go_on = COMMAND.findall(ended.stderr)
    results = user.pastes(write)
    assert results.status == 0
    assert 0 < len(results.stdout.splitlines()) < PROMPTS
    assert "--output -" in go_on


def test_what_show_prints_can_be_pasted_and_replaces_no_file_of_another_batch(user: User) -> None:
    assert user.runs("--output", "out.jsonl").status == 0
    kept = (user.cli.folder / "out.jsonl").read_text()
    ended = out_of_budget(user, ("--output", "other.jsonl"))
    assert ended.status == 2
    [identifier] = set(re.findall(r"--resume (\w+)", ended.stderr))
    shown = user.cli.run("batches", "show", identifier).stdout
    commands = {line.partition(": ")[0]: line.partition(": ")[2] for line in shown.splitlines()}
    write, here = commands["To write the results so far"], commands["To run it here"]
    for _ in range(2):
        assert user.pastes(write).status == 0
    own = user.cli.folder / f"{identifier[:16]}.jsonl"
    held = len(rows_in(own))
    assert user.pastes(here).status in {0, 2}
    assert len(rows_in(own)) >= held > 0
    assert (user.cli.folder / "out.jsonl").read_text() == kept


def test_results_replace_a_file_only_with_overwrite(user: User) -> None:
    assert user.runs("--output", "out.jsonl").status == 0
    user.cli.path("mine.csv", "mine")
    command = f"{sys.executable} {MANAGE} batches results prompts.jsonl --output mine.csv"
    refused = user.pastes(command)
    assert refused.status == 2
    assert refused.stderr == "error: mine.csv exists; name another file, or add --overwrite\n"
    assert (user.cli.folder / "mine.csv").read_text() == "mine"
    assert user.pastes(f"{command} --overwrite").status == 0
    assert len(rows_in(user.cli.folder / "mine.csv")) == PROMPTS
