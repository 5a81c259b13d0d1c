"""The command finds the format of its input and says it; outputs have the format of their name."""

import csv
from pathlib import Path

import pytest

from batches.models import Batch, Prompt
from tests.command_line import Commands

JSONL = '{"prompt": "a"}\n{"prompt": "b"}\n'
CSV = "prompt,custom_id\na,1\nb,2\n"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "read_as"),
    [
        ("p.jsonl", JSONL, [], "JSONL."),
        ("p.data", JSONL, [], "JSONL."),
        ("p", '{"messages": [{"role": "user", "content": "a"}]}\n' * 2, [], "JSONL."),
        ("p.csv", CSV, [], "CSV."),
        ("p.data", CSV, [], "CSV."),
        ("p.data", CSV.replace(",", ";"), [], "CSV."),
        ("p.data", "sep=|\nprompt|n\na|1\nb|2\n", [], "CSV."),
        ("p.data", "question;n\na;1\nb;2\n", ["--column", "question"], "CSV."),
        ("p.data", CSV.replace(",", "\t"), [], "TSV."),
        ("p.data", CSV.encode("utf-16"), [], "CSV."),
        ("p.csv", "prompt;n\r\ncaf\xe9;1\r\nb;2\r\n".encode("cp1252"), [], "CSV."),
        ("p.data", "Why is the sky blue?\nWhat, then, is tea?\n", [], "text, a prompt a line."),
        ("p.csv", "What is tea?\nWhy?\n", ["--format", "text"], "text, a prompt a line."),
        ("p.txt", JSONL, [], "text, a prompt a line. It looks like JSONL: --format jsonl reads"),
    ],
)
def test_the_format_is_found_and_said(
    cli: Commands, name: str, content: str | bytes, arguments: list[str], read_as: str
) -> None:
    cli.path(name, content)
    ended = cli.process_batch(*arguments, name=name)
    assert ended.status == 0, ended.stderr
    assert f"p as {read_as}" in ended.stderr.replace(f"{name} as", "p as")
    assert Batch.objects.get().total == 2


@pytest.mark.parametrize(("content", "read_as"), [(JSONL, "JSONL"), (CSV, "CSV")])
def test_standard_input_says_what_it_was_read_as(cli: Commands, content: str, read_as: str) -> None:
    ended = cli.process_batch(name="-", stdin=content)
    assert ended.status == 0, ended.stderr
    assert f"Reading standard input as {read_as}." in ended.stderr


@pytest.mark.parametrize(
    ("name", "content", "remedies"),
    [
        ("p.data", "question;id\nwhat;1\n", ["--column", "--format text", "'question;id'"]),
        ("p.csv", JSONL, ["It looks like JSONL: --format jsonl reads it so."]),
        ("p.jsonl", CSV, ["It looks like CSV: --format csv reads it so."]),
        ("p.csv", "Prompts;n\na;1\n", ["Did you mean 'Prompts'?", "--column"]),
    ],
)
def test_a_doubtful_format_is_not_guessed_and_the_remedy_is_named(
    cli: Commands, name: str, content: str, remedies: list[str]
) -> None:
    cli.path(name, content)
    ended = cli.process_batch(name=name)
    assert ended.status == 2
    for remedy in remedies:
        assert remedy in ended.stderr
    assert not Batch.objects.exists()


def test_empty_rows_are_skipped_with_a_count_and_rows_are_numbered_as_rows(cli: Commands) -> None:
    cli.path("p.csv", 'prompt,n\r\n"two\nlines",1\r\n,\r\n\r\nb,2\r\n,,\r\n')
    ended = cli.process_batch(name="p.csv")
    assert ended.status == 0, ended.stderr
    assert "Skipped 3 empty rows." in ended.stderr
    ids = Prompt.objects.order_by("index").values_list("custom_id", flat=True)
    assert list(ids) == ["row-1", "row-4"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--modle", "x"], "there is no option --modle. Did you mean '--model'?"),
        (["--outptu=x"], "there is no option --outptu. Did you mean '--output'?"),
        (["--format", "cvs"], "Did you mean 'csv'?"),
        (["--batch-size", "many"], "'many' is not a whole number"),
    ],
)
def test_a_wrong_option_names_the_one_that_was_meant(
    cli: Commands, arguments: list[str], hint: str
) -> None:
    cli.path("prompts.jsonl", JSONL)
    ended = cli.process_batch(*arguments)
    assert ended.status == 2
    assert hint in ended.stderr
    assert "All options: manage.py process_batch --help" in ended.stderr


def test_a_wrong_option_of_a_sub_command_names_the_one_that_was_meant(cli: Commands) -> None:
    ended = cli.run("batches", "list", "--statsu", "paused")
    assert ended.status == 2
    assert "there is no option --statsu. Did you mean '--status'?" in ended.stderr
    assert "Did you mean 'list'?" in cli.run("batches", "lst").stderr


def test_a_model_that_the_provider_does_not_list_names_the_one_that_was_meant(
    cli: Commands,
) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a", "model": "simulated-smal"}\n')
    ended = cli.process_batch()
    hint = "the provider lists no model 'simulated-smal'. Did you mean 'simulated-small'?"
    assert f"Warning: {hint}" in ended.stderr


def test_an_output_that_ends_in_csv_is_a_table(cli: Commands) -> None:
    cli.path("prompts.jsonl", '{"prompt": "a"}\n{"prompt": "[simulate: status=400]"}\n')
    out, errors = cli.path("out.csv"), cli.path("errors.CSV")
    assert cli.process_batch("--output", out, "--errors", errors).status == 1
    assert [row["custom_id"] for row in rows_of(out)] == ["line-1"]
    assert [row["kind"] for row in rows_of(errors)] == ["request"]
    again = cli.path("again.csv")
    identifier = Batch.objects.get().public_id
    assert cli.run("batches", "results", identifier, "--output", again).status == 0
    assert [row["status"] for row in rows_of(again)] == ["succeeded", "failed"]


def rows_of(name: str) -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("option", ["--output", "--errors"])
def test_an_existing_file_is_replaced_only_if_that_is_asked(cli: Commands, option: str) -> None:
    cli.path("prompts.jsonl", JSONL)
    kept = Path(cli.path("kept.jsonl", "what was here before"))
    own = {"--output": cli.path("new.jsonl"), option: str(kept)}
    arguments = [part for pair in own.items() for part in pair]
    ended = cli.process_batch(*arguments)
    assert ended.status == 2
    assert "kept.jsonl exists; name another file, or add --overwrite" in ended.stderr
    assert kept.read_text() == "what was here before"
    assert not Batch.objects.exists()
    assert cli.process_batch(*arguments, "--overwrite").status == 0
    assert kept.read_text() != "what was here before"
    resumed = cli.process_batch(
        "--resume", Batch.objects.get().public_id, "--output", cli.path("kept.jsonl"), name=None
    )
    assert resumed.status == 0


KEY = "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"


@pytest.mark.parametrize("key", [KEY, "gsk_a1B2c3D4e5F6g7H8", "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize(
    "template",
    [
        ["--api-key-env", "{}"],
        ["--api-key", "{}"],
        ["--api-key={}"],
        ["--model", "{}"],
        ["--provider", "{}"],
        ["--system", "{}"],
        ["--column", "{}"],
        ["--template", "{}"],
        ["--format", "{}"],
        ["--batch-size", "{}"],
        ["{}"],
        ["--nonsense", "{}"],
        ["--price", "{}"],
    ],
    ids=" ".join,
)
def test_a_pasted_key_is_never_echoed_nor_stored(
    cli: Commands, key: str, template: list[str]
) -> None:
    cli.path("prompts.jsonl", JSONL)
    ended = cli.process_batch(*(part.format(key) for part in template))
    assert ended.status == 2
    assert key not in ended.stderr
    assert "--api-key-env MY_KEY" in ended.stderr
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    "url", [f"https://user:{KEY}@127.0.0.1/v1", f"https://127.0.0.1/v1?k={KEY}", "http://a:pw1@b/"]
)
def test_a_secret_in_a_url_is_not_echoed(cli: Commands, url: str) -> None:
    cli.path("prompts.jsonl", JSONL)
    ended = cli.process_batch("--base-url", url, "--model", "m")
    assert ended.status == 2
    assert KEY not in ended.stderr
    assert "pw1" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "is_named"),
    [("NOT_SET", True), ("not_a_name_of_one", False), ("my-key-9", False)],
)
def test_only_what_is_written_like_a_variable_is_echoed(
    cli: Commands, name: str, *, is_named: bool
) -> None:
    cli.path("prompts.jsonl", JSONL)
    ended = cli.process_batch(
        *("--base-url", cli.to_simulator[1], "--model", "m", "--api-key-env", name)
    )
    assert ended.status == 2
    assert (name in ended.stderr) is is_named
