"""`manage.py batches`: what each sub-command shows and changes."""

import csv
import io
import json
import os
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from batches.leases.state import STATES
from batches.management.subcommands import listing
from batches.management.subcommands.listing import LIST
from batches.models import Batch, Provider, Result
from simulator import SimulatedProvider
from tests.command_line import Commands, Finished
from tests.makers import batch_of

FAILING = "[simulate: status=400 times=1]"


@pytest.fixture
def provider(cli: Commands, simulator: SimulatedProvider) -> Provider:
    """The simulated provider, in the database of the command."""
    return Provider.objects.create(name="simulated", base_url=simulator.base_url)


def batches(cli: Commands, *arguments: str, status: int = 0) -> Finished:
    ended = cli.run("batches", *arguments)
    assert ended.status == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def said_in_json(cli: Commands, *arguments: str) -> Any:
    return json.loads(batches(cli, *arguments, "--json").stdout)


def run_batch(cli: Commands, texts: list[str]) -> Batch:
    """Run a batch of these prompts to its end."""
    cli.path("prompts.jsonl", "".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    assert cli.process_batch("--quiet").status in {0, 1}
    return Batch.objects.latest("pk")


def test_without_batches_it_says_so(cli: Commands) -> None:
    assert batches(cli, "list").stdout == "There are no batches yet.\n"
    assert said_in_json(cli, "list") == []
    assert "no providers yet" in batches(cli, "providers").stdout
    assert said_in_json(cli, "usage")["models"] == []


def test_a_list_has_the_newest_first_and_says_that_there_are_older(
    cli: Commands, provider: Provider
) -> None:
    made = [batch_of(provider, 2) for _ in range(3)]
    header, newest, middle, more = batches(cli, "list", "--limit", "2").stdout.splitlines()
    assert header.split()[:5] == ["ID", "NAME", "STATUS", "DONE", "FAILED"]
    assert newest.split()[:6] == [made[2].public_id, "-", "waiting", "0", "of", "2"]
    assert middle.startswith(made[1].public_id)
    assert more == "There are older batches; --limit 20 shows more."
    assert [row["batch_id"] for row in said_in_json(cli, "list")] == [
        batch.public_id for batch in reversed(made)
    ]


def test_a_list_is_in_words_and_can_be_filtered_by_them(cli: Commands, provider: Provider) -> None:
    ended = run_batch(cli, ["a"])
    waiting, stopped, paused = (batch_of(provider, 2) for _ in range(3))
    Batch.objects.filter(pk=stopped.pk).update(in_background=False)
    Batch.objects.filter(pk=paused.pk).update(pause_reason="budget: spent")
    there = {row["batch_id"]: (row["status"], row["reason"]) for row in said_in_json(cli, "list")}
    assert there == {
        ended.public_id: ("completed", ""),
        waiting.public_id: ("waiting", "for a worker"),
        stopped.public_id: ("stopped", ""),
        paused.public_id: ("paused", "budget: spent"),
    }
    for batch in (ended, waiting, stopped, paused):
        [row] = said_in_json(cli, "list", "--status", there[batch.public_id][0])
        assert row["batch_id"] == batch.public_id
    two = said_in_json(cli, "list", "--status", "paused", "--status", "stopped")
    assert len(two) == 2
    assert batches(cli, "list", "--status", "expired").stdout == "No batches match.\n"
    assert "in_progress" not in STATES


def test_a_batch_is_named_and_found_by_its_name(cli: Commands, provider: Provider) -> None:
    run = run_batch(cli, ["a"])
    other, long = batch_of(provider, 1), batch_of(provider, 1)
    # An ID goes before a name.
    Batch.objects.filter(pk=other.pk).update(name=run.public_id)
    Batch.objects.filter(pk=long.pk).update(name="n" * 200)
    names = [row["name"] for row in said_in_json(cli, "list")]
    assert names == ["n" * 200, run.public_id, "prompts.jsonl"]
    shown = batches(cli, "list").stdout.splitlines()
    assert shown[1].split()[1] == "n" * 23 + "…"
    assert shown[3].split()[1] == "prompts.jsonl"
    for text in ("prompts.jsonl", run.public_id):
        assert said_in_json(cli, "show", text)["batch_id"] == run.public_id
    assert "name" in batches(cli, "show", "prompts.jsonl").stdout
    Batch.objects.filter(pk=other.pk).update(name="prompts.jsonl")
    refused = batches(cli, "cancel", "prompts.jsonl", status=2).stderr
    both = f"{other.public_id}, {run.public_id}"
    assert refused == f"error: 'prompts.jsonl' fits several batches: {both}; give an ID\n"
    assert "there is no batch 'prompts'" in batches(cli, "cancel", "prompts", status=2).stderr


def test_a_batch_of_a_paused_provider_is_paused(cli: Commands, provider: Provider) -> None:
    batch_of(provider, 2)
    Provider.objects.update(pause_reason="quota: empty", pause_kind="quota")
    [row] = said_in_json(cli, "list")
    assert (row["status"], row["reason"]) == ("paused", "quota: empty")
    [shown] = said_in_json(cli, "providers")
    assert (shown["status"], shown["reason"]) == ("paused", "quota: empty")


def test_a_list_is_one_query_whatever_there_is(cli: Commands, provider: Provider) -> None:
    for _ in range(3):
        batch_of(provider, 2)
    options = {"status": ["waiting"], "limit": 2, "json": False}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        LIST.run(options, io.StringIO())
    assert len(queries) == 1


def test_hostile_text_reaches_no_terminal(cli: Commands, provider: Provider) -> None:
    batch_of(provider, 1)
    Batch.objects.update(model="\x1b[31mred", pause_reason="a\x1b]0;title\x07\nb [bold]")
    # A resume clears the reason of the batch and leaves that of its provider.
    Provider.objects.update(pause_reason=Batch.objects.get().pause_reason)
    name = Batch.objects.get().public_id
    for arguments in (["list"], ["show", name], ["resume", name]):
        shown = batches(cli, *arguments).stdout
        assert shown.count("title") == 1
        assert "\x1b" not in shown
        assert "[bold]" in shown


def test_an_id_may_be_shortened_and_an_ambiguous_one_names_the_candidates(
    cli: Commands, provider: Provider
) -> None:
    for name in ("batch_abc1", "batch_abd2"):
        Batch.objects.filter(pk=batch_of(provider, 1).pk).update(public_id=name)
    assert said_in_json(cli, "show", "abc")["batch_id"] == "batch_abc1"
    assert said_in_json(cli, "show", "batch_abd")["batch_id"] == "batch_abd2"
    several = batches(cli, "show", "ab", status=2).stderr
    assert several == ("error: 'ab' fits several batches: batch_abd2, batch_abc1; add a letter\n")
    for nothing in ("", "batch_"):
        refused = batches(cli, "delete", nothing, "--yes", status=2).stderr
        assert refused == "error: give the ID of a batch; the newest is batch_abd2\n"
    Batch.objects.get(public_id="batch_abc1").delete()
    assert batches(cli, "cancel", "", status=2).stderr.startswith("error: give the ID")
    unknown = batches(cli, "cancel", "%", status=2).stderr
    assert unknown == "error: there is no batch '%'; the newest is batch_abd2\n"


def test_a_batch_is_shown_with_what_failed_and_what_can_be_done(cli: Commands) -> None:
    batch = run_batch(cli, ["a", f"{FAILING} b"])
    shown = batches(cli, "show", batch.public_id[:12]).stdout
    assert shown.startswith(f"{batch.public_id}: completed\n")
    assert "request 1: HTTP 400" in shown
    assert f"batches retry {batch.public_id}" in shown
    assert f"batches results {batch.public_id} --output {batch.public_id[:16]}.jsonl" in shown
    figures = said_in_json(cli, "show", batch.public_id)
    assert (figures["succeeded"], figures["failures"]) == (1, {"request": 1})
    assert figures["timing"]["answered"] == 2


def test_what_can_be_done_with_a_batch_depends_on_its_state(
    cli: Commands, provider: Provider
) -> None:
    batch = batch_of(provider, 2, max_tokens_total=5)
    name = batch.public_id
    assert f"process_batch --resume {name}" in batches(cli, "show", name).stdout
    Batch.objects.update(status="validating")
    assert f"batches cancel {name}" in batches(cli, "show", name).stdout
    Batch.objects.update(status="in_progress")
    Batch.objects.update(pause_reason="budget: reached", pause_kind="budget", input_tokens=7)
    spent = batches(cli, "show", name).stdout
    assert f"batches resume {name} --max-tokens-total 12" in spent
    Batch.objects.update(pause_reason="", pause_kind="", in_background=False)
    stopped = batches(cli, "show", name).stdout
    assert f"{name}: stopped\n" in stopped
    assert f"batches cancel {name}" in stopped
    Provider.objects.update(pause_reason="quota: empty", pause_kind="quota")
    empty = batches(cli, "show", name).stdout
    # Workers would find the provider paused; a command tries it again.
    assert f"process_batch --resume {name}" in empty
    assert "batches resume" not in empty
    Provider.objects.update(pause_reason="", pause_kind="")
    ended = run_batch(cli, ["a"])
    Batch.objects.filter(pk=ended.pk).update(pause_reason="left from before")
    assert "resume" not in batches(cli, "show", ended.public_id).stdout


def test_a_refused_input_is_shown_with_its_errors(cli: Commands, provider: Provider) -> None:
    batch = batch_of(provider, 1)
    errors = [{"line": 3, "code": "invalid", "message": "bad\x1bline", "param": None}]
    Batch.objects.filter(pk=batch.pk).update(status="failed", total=0, errors=errors)
    shown = batches(cli, "show", batch.public_id).stdout
    assert "line 3: bad\N{REPLACEMENT CHARACTER}line" in shown
    assert "results" not in shown


def test_results_are_written_as_lines_and_as_a_table(cli: Commands) -> None:
    batch = run_batch(cli, ["a", f"{FAILING} b", "c"])
    lines = batches(cli, "results", batch.public_id).stdout.splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["line-1", "line-2", "line-3"]
    assert batches(cli, "results", batch.public_id, "--json").stdout.splitlines() == lines
    table = batches(cli, "results", batch.public_id, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
    assert [row["status"] for row in rows] == ["succeeded", "failed", "succeeded"]
    out, errors = cli.path("good.jsonl"), cli.path("bad.jsonl")
    to_files = ("results", batch.public_id, "--output", out, "--errors", errors)
    assert batches(cli, *to_files).stdout == ""
    assert (cli.folder / "good.jsonl").read_text().splitlines() == [lines[0], lines[2]]
    assert (cli.folder / "bad.jsonl").read_text().splitlines() == [lines[1]]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--output", "no/such/out.jsonl"], "no/such"),
        (["--output", "/dev/full"], "/dev/full: No space left on device"),
        (["--format", "csv", "--output", "/dev/full"], "No space left on device"),
        (["--output", "e.jsonl", "--errors", "./e.jsonl"], "output and errors are the same file"),
        (["--format", "csv", "--json"], "--format csv cannot"),
    ],
)
def test_results_that_cannot_be_written_are_named(
    cli: Commands, arguments: list[str], part: str
) -> None:
    batch = run_batch(cli, ["a"])
    ended = batches(cli, "results", batch.public_id, *arguments, status=2)
    assert part in ended.stderr
    assert not os.path.exists(cli.path("e.jsonl"))  # noqa: PTH110 - a name


def test_a_table_is_utf8_in_any_locale(cli: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = run_batch(cli, ["a"])
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", latin)
    call_command("batches", "results", batch.public_id, "--format", "csv")
    assert latin.buffer.getvalue().decode().startswith("\ufeff")


def test_a_batch_is_cancelled_once(cli: Commands, provider: Provider) -> None:
    batch = batch_of(provider, 2)
    assert batches(cli, "cancel", batch.public_id).stdout == f"{batch.public_id}: cancelled\n"
    assert said_in_json(cli, "cancel", batch.public_id)["status"] == "cancelled"
    ended = run_batch(cli, ["a"])
    refused = batches(cli, "cancel", ended.public_id, status=2).stderr
    assert refused == "error: Cannot cancel a batch with status 'completed'.\n"


def test_a_retry_is_for_the_workers_and_may_be_of_one_kind(cli: Commands) -> None:
    batch = run_batch(cli, ["a", f"{FAILING} b"])
    none = batches(cli, "retry", batch.public_id, "--kind", "timeout", status=2)
    assert "no prompt of this batch has failed with timeout" in none.stderr
    assert "--kind" in batches(cli, "retry", batch.public_id, "--kind", "bad", status=2).stderr
    said, how = batches(cli, "retry", batch.public_id, "--kind", "request").stdout.splitlines()
    assert said == f"{batch.public_id}: waiting: for a worker"
    assert f"process_batch --resume {batch.public_id}" in how
    assert Result.objects.filter(status="failed").count() == 0


def test_a_paused_batch_is_resumed_with_a_larger_budget(cli: Commands, provider: Provider) -> None:
    batch = batch_of(provider, 2, max_tokens_total=5)
    Batch.objects.update(pause_reason="budget: token limit of 5 reached", pause_kind="budget")
    resumed = said_in_json(cli, "resume", batch.public_id, "--max-tokens-total", "50")
    assert (resumed["status"], resumed["reason"]) == ("waiting", "for a worker")
    batch.refresh_from_db()
    assert batch.max_tokens_total == 50


def test_a_resume_does_not_promise_workers_for_a_paused_provider(
    cli: Commands, provider: Provider
) -> None:
    batch = batch_of(provider, 2)
    Provider.objects.update(pause_reason="quota: empty", pause_kind="quota")
    state, how = batches(cli, "resume", batch.public_id).stdout.splitlines()
    assert state == f"{batch.public_id}: paused: quota: empty"
    assert how.startswith("To try its provider again here: ")


def test_a_batch_is_deleted_only_if_that_is_confirmed(cli: Commands, provider: Provider) -> None:
    batch = run_batch(cli, ["a"])
    refused = batches(cli, "delete", batch.public_id, status=2).stderr
    assert refused == f"error: {batch.public_id} was not deleted; --yes deletes it without asking\n"
    assert Batch.objects.exists()
    running = batch_of(provider, 1)
    still = batches(cli, "delete", running.public_id, "--yes", status=2).stderr
    assert "cancel it first" in still
    assert said_in_json(cli, "delete", batch.public_id, "--yes") == {
        "batch_id": batch.public_id,
        "deleted": True,
    }
    assert [left.pk for left in Batch.objects.all()] == [running.pk]


def test_providers_are_shown_without_their_keys(cli: Commands, provider: Provider) -> None:
    Provider.objects.update(api_key_encrypted="canary", requests_per_minute=500, is_default=True)
    batch_of(provider, 1)
    shown = batches(cli, "providers").stdout
    assert "simulated (default)" in shown
    assert "500 requests/min" in shown
    [row] = said_in_json(cli, "providers")
    assert (row["key"], row["batches_in_progress"]) == ("stored", 1)
    assert (row["status"], row["answered_at"]) == ("not tried", None)
    assert "canary" not in shown + json.dumps(row)


def test_a_provider_is_in_the_state_that_the_admin_shows(cli: Commands) -> None:
    run_batch(cli, ["a"])
    [row] = said_in_json(cli, "providers")
    assert row["status"] == "answering"
    assert row["answered_at"].endswith("+00:00")
    assert " answering " in batches(cli, "providers").stdout
    assert " open " not in batches(cli, "providers").stdout


def test_usage_sums_up_by_provider_and_model_and_knows_what_it_does_not_know(
    cli: Commands,
) -> None:
    for _ in range(2):
        run_batch(cli, ["a", "b"])
    usage = said_in_json(cli, "usage")
    [row] = usage["models"]
    assert "unknown" in batches(cli, "usage").stdout
    assert (row["model"], row["batches"], row["prompts"]) == ("simulated-small", 2, 4)
    assert (row["priced"], usage["total"]["cost"]) == (False, 0)
    text = batches(cli, "usage", "--days", "7").stdout
    assert "unknown" in text
    assert text.endswith("The price of a model is unknown; the total is without it.\n")
    Provider.objects.update(prices={"simulated-small": {"input": 1000, "output": 1000}})
    run_batch(cli, ["a"])
    assert said_in_json(cli, "usage")["total"]["cost"] > 0


def test_what_was_never_called_has_no_unknown_cost(cli: Commands, provider: Provider) -> None:
    batch_of(provider, 2, defaults={"model": "never-heard-of"})
    assert "unknown" not in batches(cli, "usage").stdout


def test_a_hint_of_a_list_is_within_the_bound_of_its_option(
    cli: Commands, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_ROWS", 2)
    for _ in range(3):
        batch_of(provider, 1)
    assert "--limit 2 shows more" in batches(cli, "list", "--limit", "1").stdout
    assert "older" not in batches(cli, "list", "--limit", "2").stdout


@pytest.mark.parametrize(
    "name",
    [
        *("list", "show", "results", "compare", "cancel", "retry", "resume", "delete"),
        *("providers", "usage"),
    ],
)
def test_help_teaches_with_examples(cli: Commands, name: str) -> None:
    taught = batches(cli, name, "--help").stdout
    assert f"python manage.py batches {name}" in taught
    assert "--json" in taught


def test_a_sub_command_that_is_missing_or_unknown_is_a_usage_error(cli: Commands) -> None:
    assert "list" in batches(cli, "--help").stdout
    assert "give a sub-command: list" in batches(cli, status=2).stderr
    assert "'lits'" in batches(cli, "lits", status=2).stderr
