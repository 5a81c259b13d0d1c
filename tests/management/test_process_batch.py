"""The bulk command: what it writes, what it says, and the exit status that it would have."""

import json
import os
from pathlib import Path

import pytest

from batches.models import Batch
from simulator import Behaviour, SimulatedProvider
from tests.command_line import Commands, prompt_lines
from tests.management.bulk import batch_id


def lines_of(path: str) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def ids_of(path: str) -> list[object]:
    return [line["custom_id"] for line in lines_of(path)]


def test_all_prompts_succeed_in_input_order(cli: Commands, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.1")
    cli.path("prompts.jsonl", prompt_lines(300))
    ended = cli.process_batch("--batch-size", "50")
    assert ended.status == 0, ended.stderr
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(300)]
    assert "succeeded" in ended.stderr
    assert "speed-up" in ended.stderr
    assert ended.stdout == ""
    assert Batch.objects.get().name == "prompts.jsonl"


def test_a_message_of_each_kind_of_failure_is_shown(cli: Commands) -> None:
    cli.env["COLUMNS"] = "40"
    texts = ("status=400", "status=400", "status=500")
    lines = [json.dumps({"prompt": f"[simulate: {text}] {n}"}) for n, text in enumerate(texts)]
    cli.path("prompts.jsonl", "\n".join(['{"prompt": "a"}', *lines]))
    ended = cli.process_batch("--max-attempts", "1")
    assert ended.status == 1
    shown = [line for line in ended.stderr.splitlines() if line.startswith(("request", "server"))]
    assert [line.partition(":")[0] for line in shown] == ["request 2", "server 1"]
    assert shown[0].startswith("request 2: HTTP 400: ")


def test_any_endpoint_can_be_called(cli: Commands) -> None:
    cli.path("prompts.jsonl", '{"query": "cats", "documents": ["dogs", "cats"], "top_n": 1}\n')
    ended = cli.process_batch("--endpoint", "/v1/rerank")
    assert ended.status == 0, ended.stderr
    [line] = lines_of(cli.path("out.jsonl"))
    assert len(line["response"]["body"]["results"]) == 1  # type: ignore[index]  # any JSON
    refused = cli.process_batch("--endpoint", "/v1/re rank")
    assert refused.status == 2
    assert "write it like /v1/rerank" in refused.stderr


def test_failed_prompts_go_to_their_own_file_if_it_is_named(cli: Commands) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    assert cli.process_batch("--errors", cli.path("errors.jsonl")).status == 1
    assert ids_of(cli.path("out.jsonl")) == ["line-1"]
    assert ids_of(cli.path("errors.jsonl")) == ["line-2"]


@pytest.mark.parametrize("errors", [[], ["--errors", "errors.jsonl"]])
def test_a_disk_that_is_full_is_named(cli: Commands, errors: list[str]) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    ended = cli.process_batch("--output", "/dev/full", *errors)
    assert ended.status == 2
    assert "error: cannot write /dev/full" in ended.stderr
    assert "No space left on device" in ended.stderr
    assert f"batches results {batch_id()} --output /dev/full" in ended.stderr


def test_help_begins_with_what_is_of_the_command(cli: Commands) -> None:
    ended = cli.run("process_batch", "--help")
    assert ended.stdout.index("--max-cost") < ended.stdout.index("--settings")


@pytest.mark.parametrize(
    ("name", "content", "arguments"),
    [
        (
            "p.csv",
            'custom_id,question\nx,What is tea?\ny,"Why,\nthen?"\n',
            ["--column", "question"],
        ),
        ("p.txt", "What is tea?\n\nWhy, then?\n", []),
        ("p.data", '{"messages": [{"role": "user", "content": "hi"}]}\n{"prompt": "b"}\n', []),
    ],
)
def test_every_input_format_runs(
    cli: Commands, name: str, content: str, arguments: list[str]
) -> None:
    cli.path(name, content)
    ended = cli.process_batch(*arguments, name=name)
    assert ended.status == 0, ended.stderr
    assert len(lines_of(cli.path("out.jsonl"))) == 2


def test_an_endpoint_runs_that_an_option_names(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch("--endpoint", "/v1/responses").status == 0


def test_an_endpoint_runs_that_the_lines_name(cli: Commands) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "hi"}}
    cli.path("prompts.jsonl", json.dumps(line))
    ended = cli.process_batch()
    assert ended.status == 0, ended.stderr
    assert Batch.objects.get().endpoint == "/v1/embeddings"


@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_both_schedules_give_the_same_answers(cli: Commands, schedule: str) -> None:
    cli.path("prompts.jsonl", prompt_lines(25))
    assert cli.process_batch("--schedule", schedule, "--batch-size", "10").status == 0
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(25)]


def test_a_response_schema_holds_for_every_answer(cli: Commands) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    cli.path("schema.json", json.dumps(schema))
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: answer=not_json]"}\n')
    ended = cli.process_batch("--response-schema", cli.path("schema.json"))
    assert ended.status == 1
    good, bad = lines_of(cli.path("out.jsonl"))
    content = good["response"]["body"]["choices"][0]["message"]["content"]  # type: ignore[index]  # any JSON
    assert isinstance(json.loads(content)["n"], int)
    assert bad["error"]["code"] == "not_json"


def test_resuming_a_finished_batch_writes_its_results_again(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(5))
    assert cli.process_batch().status == 0
    first = Path(cli.path("out.jsonl")).read_bytes()
    again = cli.process_batch(
        "--resume", batch_id(), "--output", cli.path("again.jsonl"), name=None
    )
    assert again.status == 0
    assert Path(cli.path("again.jsonl")).read_bytes() == first
    assert simulator.calls.total() == 5


def test_the_output_is_whole_or_not_there(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    cli.path("out.jsonl", "what was here before")
    assert cli.process_batch("--max-attempts", "0").status == 2
    assert Path(cli.path("out.jsonl")).read_text() == "what was here before"
    assert cli.process_batch().status == 0
    assert len(lines_of(cli.path("out.jsonl"))) == 3
    leftovers = [path.name for path in cli.folder.iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_outputs_may_be_links_and_pipes_which_stay(cli: Commands) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    cli.path("real.jsonl", "what was here before")
    link, pipe = Path(cli.path("link.jsonl")), Path(cli.path("pipe"))
    link.symlink_to(cli.path("real.jsonl"))
    os.mkfifo(pipe)
    # Opened for both, so that neither end waits for the other.
    reader = os.open(pipe, os.O_RDWR)
    try:
        ended = cli.process_batch("--output", str(link), "--errors", str(pipe), "--overwrite")
        assert ended.status == 1, ended.stderr
        assert json.loads(os.read(reader, 10_000))["custom_id"] == "line-2"
        assert ids_of(cli.path("real.jsonl")) == ["line-1"]
        assert cli.process_batch("--output", str(pipe), "--errors", str(pipe)).status == 1
    finally:
        os.close(reader)
    assert link.is_symlink()
    assert pipe.is_fifo()
