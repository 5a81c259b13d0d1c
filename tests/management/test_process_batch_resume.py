"""`process_batch --resume`: what it goes on with, and what it says of the rest."""

import json
from pathlib import Path

import pytest
from django.db.models import F

from batches.actions import batches as batch_actions
from batches.models import Batch, Result
from simulator import Behaviour, SimulatedProvider
from tests.command_line import Commands, Finished, prompt_lines
from tests.management.bulk import batch_id
from tests.scripted_server import answer, chat
from tests.scripted_thread import scripted


def resume(cli: Commands, *arguments: str) -> Finished:
    return cli.process_batch("--resume", batch_id(), *arguments, name=None)


@pytest.mark.parametrize("status", ["failed", "validating"])
def test_a_batch_whose_input_was_not_stored_is_refused(cli: Commands, status: str) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch().status == 0
    Batch.objects.update(status=status, total=0, succeeded=0)
    ended = resume(cli)
    assert ended.status == 2
    assert f"status is '{status}'" in ended.stderr
    assert "Traceback" not in ended.stderr
    hint = cli.process_batch("--resume", "batch_none", name=None).stderr
    assert batch_id() not in hint


def test_a_deleted_batch_is_not_there_any_more(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch().status == 0
    Path(cli.path("out.jsonl")).unlink()
    Batch.objects.update(deleted_at=F("created_at"))
    ended = resume(cli)
    assert ended.status == 2
    assert "there is no batch" in ended.stderr
    assert "newest" not in ended.stderr
    assert not Path(cli.path("out.jsonl")).exists()


def test_a_batch_that_was_handed_to_the_workers_is_run_to_its_end(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    ended = cli.process_batch("--batch-size", "4", "--max-tokens-total", "50")
    assert ended.status == 2, ended.stderr
    batch_actions.resume_batch(Batch.objects.get(), max_tokens_total=10**6)
    assert Batch.objects.get().in_background
    assert resume(cli).status == 0
    assert len(Path(cli.path("out.jsonl")).read_text().splitlines()) == 20


def test_a_batch_that_waits_for_another_model_is_said_to_once(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=("another",))
    cli.env["COLUMNS"] = "40"
    cli.path("prompts.jsonl", prompt_lines(20))
    ended = cli.process_batch("--quiet")
    assert ended.status == 2
    paused, how, or_else = ended.stderr.splitlines()
    assert paused.startswith("Paused: config: HTTP 404: ")
    out = cli.path("out.jsonl")
    assert how.endswith(f"process_batch --resume {batch_id()} --output {out} --quiet")
    assert "another --model" in or_else
    # There is nothing that a table could tell.
    assert "succeeded" not in cli.process_batch("--resume", batch_id(), name=None).stderr


def test_an_address_that_lists_no_models_is_warned_of(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    base_url = cli.to_simulator[1].removesuffix("/v1")
    ended = cli.process_batch("--base-url", base_url, "--model", "simulated-small")
    assert f"Warning: {base_url}/models answered HTTP 404" in ended.stderr
    assert "usually end in /v1" in ended.stderr


@pytest.mark.parametrize("status", [401, 403, 405])
def test_a_key_that_may_not_list_models_runs_a_batch(cli: Commands, status: int) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    refused = answer({"error": {"message": "may not list models"}}, status=status)
    with scripted(refused, answer(chat())) as base_url:
        ended = cli.process_batch("--base-url", base_url, "--model", "m")
    assert ended.status == 0
    assert f"/models answered HTTP {status}: may not list models" in ended.stderr
    assert "the first call decides" in ended.stderr
    assert Batch.objects.get().succeeded == 20


def test_a_refused_key_pauses_before_a_prompt_fails(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(api_key="right")
    cli.env["KEY"] = "wrong-canary"
    cli.path("prompts.jsonl", prompt_lines(200))
    ended = cli.process_batch("--api-key-env", "KEY")
    assert ended.status == 2
    for part in ("/models answered HTTP 401", "variable KEY", "first call decides", "Paused: a"):
        assert part in ended.stderr
    assert "canary" not in ended.stderr
    assert not Result.objects.exists()
    assert "without a key; set one with --api-key-env" in cli.process_batch().stderr
    cli.env["KEY"] = "right"
    assert cli.process_batch("--resume", batch_id(), name=None).status == 0


def test_a_batch_that_the_command_goes_on_with_stays_its_own(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    assert cli.process_batch("--batch-size", "4", "--max-tokens-total", "50").status == 2
    assert resume(cli).status == 2
    assert not Batch.objects.get().in_background


def test_a_retry_runs_what_failed_again_and_writes_all_results(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    lines = prompt_lines(6) + prompt_lines(1, text="[simulate: status=400 times=1] {n}").replace(
        "id-0", "bad"
    )
    cli.path("prompts.jsonl", lines)
    assert cli.process_batch().status == 1
    calls = simulator.calls.total()
    ended = cli.process_batch("--retry", batch_id(), name=None)
    assert ended.status == 0, ended.stderr
    assert simulator.calls.total() == calls + 1
    out = Path(cli.path("out.jsonl")).read_text().splitlines()
    assert [json.loads(line)["custom_id"] for line in out] == [
        *(f"id-{n}" for n in range(6)),
        "bad",
    ]
    again = cli.process_batch("--retry", batch_id(), name=None)
    assert again.status == 2
    assert "no prompt of this batch has failed" in again.stderr


@pytest.mark.parametrize("option", [["--model", "m"], ["--batch-size", "3"], ["--resume", "b"]])
def test_a_retry_takes_no_options_of_a_new_batch(cli: Commands, option: list[str]) -> None:
    ended = cli.process_batch("--retry", "batch_1", *option, name=None)
    assert ended.status == 2
    assert "--retry" in ended.stderr
    assert "Traceback" not in ended.stderr
