"""The bulk command as its users meet it: real processes, real signals, exit statuses."""

import json
import signal
from pathlib import Path

from simulator import Behaviour, SimulatedProvider
from tests.command_line import prompt_lines
from tests.processes.bulk import batch_id, stored
from tests.processes.conftest import CommandLine
from tests.waiting import wait_until


def lines_of(path: str) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def ids_of(path: str) -> list[object]:
    return [line["custom_id"] for line in lines_of(path)]


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
    cli.path("prompts.jsonl", prompt_lines(60))
    with simulator.holding():
        process = cli.start(*cli.arguments("--batch-size", "10", "--json"))
        wait_until(lambda: simulator.calls.total() == 10, "the first calls")
        stored(cli, "UPDATE batches_batch SET status = 'cancelling', cancelling_at = created_at")
    ended = cli.finish(process)
    assert ended.status == 1, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["status"], summary["failed"]) == ("cancelled", 0)
    assert summary["succeeded"] < 60 == len(lines_of(cli.path("out.jsonl")))


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


def test_a_full_standard_output_is_named(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    shell = ("/bin/sh", "-c", 'exec "$@" > /dev/full', "sh")
    ended = cli.finish(cli.start(*cli.arguments("--output", "-", "--quiet"), within=shell))
    assert ended.status == 2
    first, second = ended.stderr.splitlines()
    assert first == "error: cannot write standard output: No space left on device"
    assert second.endswith(f"batches results {batch_id(cli)} --output -")


def test_a_first_use_makes_its_database_itself(cli: CommandLine) -> None:
    cli.env["DATA_DIR"] = cli.path("fresh")
    cli.path("prompts.jsonl", prompt_lines(2))
    assert cli.process_batch().status == 0


def test_ctrl_c_stores_what_is_in_flight_and_resume_repeats_nothing(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(100))
    with simulator.holding(after=10):
        process = cli.start(*cli.arguments("--batch-size", "10"))
        wait_until(lambda: simulator.calls.total() > 15, "the second round of calls")
        cli.stop(process)
    ended = cli.finish(process)
    assert ended.status == 130
    results = stored(cli, "SELECT COUNT(*) FROM batches_result")[0][0]
    assert results == simulator.calls.total() < 100
    assert len(lines_of(cli.path("out.jsonl"))) == results
    assert f"{batch_id(cli)}: stopped\n" in ended.stderr
    stopped, held, how = ended.stderr.splitlines()[-3:]
    assert stopped == "Stopped."
    assert held == f"{cli.path('out.jsonl')} holds the {results} results so far, of 100."
    assert how.endswith(f"process_batch --resume {batch_id(cli)} --output {cli.path('out.jsonl')}")
    assert cli.process_batch("--resume", batch_id(cli), name=None).status == 0
    assert set(simulator.calls.values()) == {1}
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(100)]


def test_sigterm_stops_as_cleanly(cli: CommandLine, simulator: SimulatedProvider) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    with simulator.holding():
        process = cli.start(*cli.arguments("--batch-size", "10"))
        wait_until(lambda: simulator.calls, "the first call")
        cli.stop(process, signal.SIGTERM)
    assert cli.finish(process).status == 143
    results = stored(cli, "SELECT COUNT(*) FROM batches_result")[0][0]
    assert results == simulator.calls.total() < 60


def test_a_killed_run_is_resumed_without_repeating_a_stored_prompt(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.lease_shortly()
    cli.path("prompts.jsonl", prompt_lines(120))
    with simulator.holding(after=40):
        process = cli.start(*cli.arguments("--batch-size", "10"))
        wait_until(lambda: simulator.calls.total() > 45, "calls after the first ones")
        wait_until(lambda: stored(cli, "SELECT 1 FROM batches_result"), "the first results")
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
    ended = cli.process_batch("--resume", batch_id(cli), name=None)
    assert ended.status == 0, ended.stderr
    assert ids_of(cli.path("out.jsonl")) == [f"id-{n}" for n in range(120)]
    repeated = {text for text, calls in simulator.calls.items() if calls > 1}
    assert repeated <= called
    assert not {text.replace("prompt ", "id-") for text in repeated} & kept
    # The kill hit calls in flight, or this test has shown nothing.
    assert repeated


def test_that_it_waits_for_another_run_is_said_once(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.env["LEASE_SECONDS"] = "10"
    simulator.behaviour = Behaviour(hang_rate=1)
    cli.path("prompts.jsonl", prompt_lines(20))
    holder = cli.start(*cli.arguments("--batch-size", "20"))
    wait_until(lambda: simulator.calls.total() == 20, "calls in flight")
    waiting = cli.start(*cli.arguments("--resume", batch_id(cli), name=None))
    assert waiting.stderr
    assert any(line.startswith("Waiting for") for line in waiting.stderr)
    simulator.behaviour = Behaviour()
    cli.interrupt(holder, signal.SIGKILL)
    ended = cli.finish(waiting)
    assert ended.status == 0, ended.stderr
    assert "Waiting for" not in ended.stderr


def test_a_key_that_is_revoked_in_mid_run_pauses_and_the_mended_one_goes_on(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.env["TEST_KEY"] = "canary-secret-key"
    simulator.behaviour = Behaviour(api_key="canary-secret-key")
    cli.path("prompts.jsonl", prompt_lines(60))
    with simulator.holding(after=10):
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


def test_a_bad_line_is_named_without_a_traceback(cli: CommandLine) -> None:
    cli.path("prompts.jsonl", "[" * 100_000 + "\n")
    ended = cli.process_batch()
    assert ended.status == 2, ended.stderr
    assert "error: " in ended.stderr
    assert "line 1" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
