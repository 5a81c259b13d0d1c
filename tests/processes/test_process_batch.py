"""The bulk command as its users meet it: real processes, real signals, exit statuses."""

import json
import os
import signal
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.processes.bulk import batch_id, prompt_lines, stored
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until


def lines_of(path: str) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def ids_of(path: str) -> list[object]:
    return [line["custom_id"] for line in lines_of(path)]


def test_all_prompts_succeed_in_input_order(cli: CommandLine, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.1")
    cli.path("prompts.jsonl", prompt_lines(300))
    ended = cli.process_batch("--batch-size", "50")
    assert ended.status == 0, ended.stderr
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(300)]
    assert "succeeded" in ended.stderr
    assert "speed-up" in ended.stderr
    assert ended.stdout == ""


def test_some_failed_prompts_are_status_1_and_among_the_output(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    ended = cli.process_batch()
    assert ended.status == 1
    ok, failed = lines_of(cli.path("out.jsonl"))
    assert ok["response"]["status_code"] == 200
    assert failed["response"]["status_code"] == 400


def test_prompts_that_never_ran_because_the_batch_was_cancelled_are_status_1(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.5")
    cli.path("prompts.jsonl", prompt_lines(60))
    process = cli.start(*cli.arguments("--batch-size", "10", "--json"))
    wait_until(lambda: simulator.calls.total() >= 10, "the first calls")
    stored(cli, "UPDATE batches_batch SET status = 'cancelling', cancelling_at = created_at")
    ended = cli.finish(process)
    assert ended.status == 1, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["status"], summary["failed"]) == ("cancelled", 0)
    assert summary["succeeded"] < 60 == len(lines_of(cli.path("out.jsonl")))


def test_a_message_of_each_kind_of_failure_is_shown(cli: CommandLine) -> None:
    cli.env["COLUMNS"] = "40"
    texts = ("status=400", "status=400", "status=500")
    lines = [json.dumps({"prompt": f"[simulate: {text}] {n}"}) for n, text in enumerate(texts)]
    cli.path("prompts.jsonl", "\n".join(['{"prompt": "a"}', *lines]))
    ended = cli.process_batch("--max-attempts", "1")
    assert ended.status == 1
    shown = [line for line in ended.stderr.splitlines() if line.startswith(("request", "server"))]
    assert [line.partition(":")[0] for line in shown] == ["request 2", "server 1"]
    assert shown[0].startswith("request 2: HTTP 400: ")


def test_any_endpoint_can_be_called(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", '{"query": "cats", "documents": ["dogs", "cats"], "top_n": 1}\n')
    ended = cli.process_batch("--endpoint", "/v1/rerank")
    assert ended.status == 0, ended.stderr
    [line] = lines_of(cli.path("out.jsonl"))
    assert len(line["response"]["body"]["results"]) == 1  # type: ignore[index]  # any JSON
    refused = cli.process_batch("--endpoint", "/v1/re rank")
    assert refused.status == 2
    assert "write it like /v1/rerank" in refused.stderr


def test_failed_prompts_go_to_their_own_file_if_it_is_named(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    assert cli.process_batch("--errors", cli.path("errors.jsonl")).status == 1
    assert ids_of(cli.path("out.jsonl")) == ["line-1"]
    assert ids_of(cli.path("errors.jsonl")) == ["line-2"]


def test_the_summary_as_json_is_alone_on_standard_output(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(20))
    ended = cli.process_batch("--json", "--quiet")
    assert ended.status == 0
    assert ended.stderr == ""
    summary = json.loads(ended.stdout)
    assert (summary["total"], summary["succeeded"], summary["failed"]) == (20, 20, 0)
    assert summary["status"] == "completed"
    assert summary["timing"]["first_result_s"] <= summary["timing"]["total_s"]


def test_prompts_from_standard_input_to_standard_output(cli: CommandLine) -> None:
    ended = cli.process_batch("--output", "-", "--quiet", name="-", stdin=prompt_lines(3))
    assert ended.status == 0
    assert [json.loads(line)["custom_id"] for line in ended.stdout.splitlines()] == [
        "id-0",
        "id-1",
        "id-2",
    ]


def test_a_reader_that_has_seen_enough_is_no_fault(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(1500))
    process = cli.start(*cli.arguments("--output", "-", "--quiet"))
    assert process.stdout
    assert process.stderr
    # More is written than the pipe holds.
    assert process.stdout.read(1)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_summary_that_nobody_reads_is_no_fault(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    process = cli.start(*cli.arguments("--json", "--quiet"))
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 141


def test_it_goes_on_when_nobody_reads_what_it_says(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    process = cli.start(*cli.arguments())
    assert process.stdout
    assert process.stderr
    process.stderr.close()
    with process.stdout:
        assert process.stdout.read() == ""
    assert process.wait() == 0
    assert len(lines_of(cli.path("out.jsonl"))) == 3


@pytest.mark.parametrize("errors", [[], ["--errors", "errors.jsonl"]])
def test_a_disk_that_is_full_is_named(cli: CommandLine, errors: list[str]) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    ended = cli.process_batch("--output", "/dev/full", *errors)
    assert ended.status == 2
    assert "error: cannot write /dev/full" in ended.stderr
    assert "No space left on device" in ended.stderr
    assert f"--resume {batch_id(cli)}" in ended.stderr


def test_a_full_standard_output_is_named(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    shell = ("/bin/sh", "-c", 'exec "$@" > /dev/full', "sh")
    ended = cli.finish(cli.start(*cli.arguments("--output", "-", "--quiet"), within=shell))
    assert ended.status == 2
    first, second = ended.stderr.splitlines()
    assert first == "error: cannot write standard output: No space left on device"
    assert f"--resume {batch_id(cli)}" in second


def test_help_begins_with_what_is_of_the_command(cli: CommandLine) -> None:
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
    cli: CommandLine, name: str, content: str, arguments: list[str]
) -> None:
    cli.path(name, content)
    ended = cli.process_batch(*arguments, name=name)
    assert ended.status == 0, ended.stderr
    assert len(lines_of(cli.path("out.jsonl"))) == 2


def test_an_endpoint_runs_that_an_option_names(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch("--endpoint", "/v1/responses").status == 0


def test_an_endpoint_runs_that_the_lines_name(cli: CommandLine) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "hi"}}
    cli.path("prompts.jsonl", json.dumps(line))
    ended = cli.process_batch()
    assert ended.status == 0, ended.stderr
    assert stored(cli, "SELECT endpoint FROM batches_batch") == [("/v1/embeddings",)]


@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_both_schedules_give_the_same_answers(cli: CommandLine, schedule: str) -> None:
    cli.path("prompts.jsonl", prompt_lines(25))
    assert cli.process_batch("--schedule", schedule, "--batch-size", "10").status == 0
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(25)]


def test_a_response_schema_holds_for_every_answer(cli: CommandLine) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    cli.path("schema.json", json.dumps(schema))
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: answer=not_json]"}\n')
    ended = cli.process_batch("--response-schema", cli.path("schema.json"))
    assert ended.status == 1
    good, bad = lines_of(cli.path("out.jsonl"))
    content = good["response"]["body"]["choices"][0]["message"]["content"]  # type: ignore[index]
    assert isinstance(json.loads(content)["n"], int)
    assert bad["error"]["code"] == "not_json"


def test_a_first_use_makes_its_database_itself(cli: CommandLine) -> None:
    cli.env["DATA_DIR"] = cli.path("fresh")
    cli.path("prompts.jsonl", prompt_lines(2))
    assert cli.process_batch().status == 0


def test_ctrl_c_stores_what_is_in_flight_and_resume_repeats_nothing(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.3")
    cli.path("prompts.jsonl", prompt_lines(100))
    process = cli.start(*cli.arguments("--batch-size", "10"))
    wait_until(lambda: simulator.calls.total() > 15, "the second round of calls")
    ended = cli.interrupt(process)
    assert ended.status == 130
    assert f"--resume {batch_id(cli)}" in ended.stderr
    assert not Path(cli.path("out.jsonl")).exists()
    results = stored(cli, "SELECT COUNT(*) FROM batches_result")[0][0]
    assert results == simulator.calls.total() < 100
    simulator.behaviour = Behaviour()
    assert cli.process_batch("--resume", batch_id(cli), name=None).status == 0
    assert set(simulator.calls.values()) == {1}
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(100)]


def test_sigterm_stops_as_cleanly(cli: CommandLine, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.3")
    cli.path("prompts.jsonl", prompt_lines(60))
    process = cli.start(*cli.arguments("--batch-size", "10"))
    wait_until(lambda: simulator.calls, "the first call")
    assert cli.interrupt(process, signal.SIGTERM).status == 143
    results = stored(cli, "SELECT COUNT(*) FROM batches_result")[0][0]
    assert results == simulator.calls.total() < 60


def test_a_killed_run_is_resumed_without_repeating_a_stored_prompt(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.2")
    cli.path("prompts.jsonl", prompt_lines(120))
    process = cli.start(*cli.arguments("--batch-size", "10"))
    wait_until(lambda: simulator.calls.total() > 45, "calls after the first flushes")
    cli.interrupt(process, signal.SIGKILL)
    kept = {
        str(row[0])
        for row in stored(
            cli,
            "SELECT p.custom_id FROM batches_result r JOIN batches_prompt p ON p.id = r.prompt_id",
        )
    }
    assert kept
    called = set(simulator.calls)
    simulator.behaviour = Behaviour()
    ended = cli.process_batch("--resume", batch_id(cli), name=None)
    assert ended.status == 0, ended.stderr
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(120)]
    repeated = {text for text, calls in simulator.calls.items() if calls > 1}
    assert repeated <= called
    assert not {text.replace("prompt ", "id-") for text in repeated} & kept
    # The kill hit calls in flight, or this test has shown nothing.
    assert repeated


def test_resuming_a_finished_batch_writes_its_results_again(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(5))
    assert cli.process_batch().status == 0
    first = Path(cli.path("out.jsonl")).read_bytes()
    again = cli.process_batch(
        "--resume", batch_id(cli), "--output", cli.path("again.jsonl"), name=None
    )
    assert again.status == 0
    assert Path(cli.path("again.jsonl")).read_bytes() == first
    assert simulator.calls.total() == 5


def test_a_key_that_is_revoked_in_mid_run_pauses_and_the_mended_one_goes_on(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.env["TEST_KEY"] = "canary-secret-key"
    simulator.behaviour = Behaviour(latency="fixed:0.2", api_key="canary-secret-key")
    cli.path("prompts.jsonl", prompt_lines(60))
    process = cli.start(*cli.arguments("--batch-size", "10", "--api-key-env", "TEST_KEY"))
    wait_until(lambda: simulator.calls.total() > 15, "the second round of calls")
    simulator.behaviour = Behaviour(api_key="another")
    ended = cli.finish(process)
    assert ended.status == 2
    assert "401" in ended.stderr
    assert "--resume" in ended.stderr
    assert stored(cli, "SELECT COUNT(*) FROM batches_result WHERE status = 'failed'") == [(0,)]
    cli.env["TEST_KEY"] = "another"
    resumed = cli.process_batch("--resume", batch_id(cli), name=None)
    assert resumed.status == 0, resumed.stderr
    assert b"canary-secret-key" not in (cli.folder / "var" / "db.sqlite3").read_bytes()
    assert "canary" not in ended.stderr + ended.stdout


def test_the_output_is_whole_or_not_there(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    cli.path("out.jsonl", "what was here before")
    assert cli.process_batch("--max-attempts", "0").status == 2
    assert Path(cli.path("out.jsonl")).read_text() == "what was here before"
    assert cli.process_batch().status == 0
    assert len(lines_of(cli.path("out.jsonl"))) == 3
    leftovers = [path.name for path in cli.folder.iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_outputs_may_be_links_and_pipes_which_stay(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    cli.path("real.jsonl", "what was here before")
    link, pipe = Path(cli.path("link.jsonl")), Path(cli.path("pipe"))
    link.symlink_to(cli.path("real.jsonl"))
    os.mkfifo(pipe)
    # Opened for both, so that neither end waits for the other.
    reader = os.open(pipe, os.O_RDWR)
    try:
        ended = cli.process_batch("--output", str(link), "--errors", str(pipe))
        assert ended.status == 1, ended.stderr
        assert json.loads(os.read(reader, 10_000))["custom_id"] == "line-2"
        assert ids_of(cli.path("real.jsonl")) == ["line-1"]
        assert cli.process_batch("--output", str(pipe), "--errors", str(pipe)).status == 1
    finally:
        os.close(reader)
    assert link.is_symlink()
    assert pipe.is_fifo()
