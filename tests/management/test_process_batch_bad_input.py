"""Whatever is wrong is said in a line or a few, with status 2, and leaves nothing behind."""

import socket

import pytest
from pytest_django.fixtures import Settings

from batches.models import Batch, Prompt, Provider
from tests.command_line import Commands, Finished
from tests.configuring import configure
from tests.scripted_server import closed_port

GOOD = '{"custom_id": "a", "prompt": "hello"}\n'


def assert_refused(cli: Commands, ended: Finished, *parts: str) -> None:
    assert ended.status == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert "error: " in ended.stderr
    assert "UsageError" not in ended.stderr
    for part in parts:
        assert part in ended.stderr
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()
    assert not (cli.folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["prompts.jsonl: The input has no prompts"]),
        (b"\n  \n", ["no prompts"]),
        (b"{broken\n", ["line 1: This line is not parseable as valid JSON"]),
        (GOOD.encode() + b"[1]\n", ["line 2", "JSON object"]),
        (GOOD.encode() * 2, ["line 2", "custom_id", "'a'", "used before"]),
        (GOOD.encode() + b'{"custom_id": "b"}\n', ["line 2", "body"]),
        (b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions"}', ["line 1", "body"]),
        (
            GOOD.encode() + b'{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":{}}',
            ["line 2", "url", "endpoint"],
        ),
        ('{"prompt": "мир"}\n'.encode("cp1251"), ["line 1", "0xec", "UTF-8"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["prompts.jsonl: The file is a PNG image"]),
        (b'{"prompt": "x", "stream": true}\n', ["line 1", "stream"]),
        (b'{"prompt": "x", "base_url": "http://evil/"}\n', ["line 1", "base_url"]),
        (b'{"prompt": "x", "seed": NaN}\n', ["line 1", "NaN"]),
        (b'{"prompt": "x", "prompt": "y"}\n', ["line 1", "twice"]),
        (b"[" * 100_000 + b"\n", ["line 1"]),
        (b'{"prompt": 5}\n', ["line 1", "prompt", "string"]),
    ],
)
def test_a_bad_line_is_named(cli: Commands, content: bytes, parts: list[str]) -> None:
    cli.path("prompts.jsonl", content)
    assert_refused(cli, cli.process_batch(), *parts)


def test_many_bad_lines_are_counted_and_not_all_shown(cli: Commands) -> None:
    cli.path("prompts.jsonl", "no\n" * 500)
    ended = cli.process_batch()
    assert_refused(cli, ended, "line 1:", "and 490 more")
    assert len(ended.stderr.splitlines()) < 20


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--provider", "nobody"], ["nobody"]),
        (["--base-url", "ftp://example.com"], ["ftp://example.com", "base URL"]),
        (["--base-url", "http://user:pw@127.0.0.1/v1"], ["base URL"]),
        (["--base-url", "http://10.1.2.3/v1"], ["10.1.2.3", "PROVIDER_PRIVATE_HOSTS"]),
        (["--base-url", "http://127.0.0.1:1/v1", "--api-key-env", "NOT_SET"], ["NOT_SET"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--batch-size", "9" * 20], ["--batch-size", "must be between 1 and 10000"]),
        (["--max-attempts", "9" * 20], ["--max-attempts", "must be between 1 and 100"]),
        (["--timeout", "nan"], ["--timeout"]),
        (["--response-schema", "missing.json"], ["missing.json", "No such file"]),
        (["--output", "no/such/folder/out.jsonl"], ["no/such/folder"]),
        (["--json", "--output", "-"], ["--json", "standard output"]),
        (["--api-key-env", "KEY"], ["KEY"]),
    ],
    ids=" ".join,
)
def test_a_bad_option_is_named(cli: Commands, arguments: list[str], parts: list[str]) -> None:
    cli.path("prompts.jsonl", GOOD)
    target = [] if {"--provider", "--base-url"} & {*arguments} else cli.to_simulator
    output = [] if "--output" in arguments else ["--output", cli.path("out.jsonl")]
    command = ["process_batch", cli.path("prompts.jsonl"), *target, "--model", "m", *output]
    assert_refused(cli, cli.run(*command, *arguments), *parts)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--base-url", "http://10.1.2.3/v1"],
        ["--base-url", "http://127.0.0.1:1/v1", "--api-key-env", "NOT_SET"],
    ],
    ids=" ".join,
)
def test_an_endpoint_that_cannot_be_called_is_not_kept(cli: Commands, arguments: list[str]) -> None:
    cli.path("prompts.jsonl", GOOD)
    assert_refused(cli, cli.process_batch("--model", "m", *arguments))
    assert not Provider.objects.exists()


def test_the_limits_of_one_that_cannot_be_called_stay_as_they_were(
    cli: Commands, settings: Settings
) -> None:
    cli.path("prompts.jsonl", GOOD)
    assert cli.process_batch("--rpm", "100").status == 0
    configure(settings, PROVIDER_PRIVATE_HOSTS=["10.0.0.1"])
    assert cli.process_batch("--rpm", "200").status == 2
    assert Provider.objects.get().requests_per_minute == 100


@pytest.mark.parametrize(
    ("schema", "parts"),
    [
        ("{", ["not JSON"]),
        ('{"type": "objekt"}', ["not a JSON Schema"]),
        ("5", ["not a JSON Schema"]),
        ('{"$ref": "http://127.0.0.1:1/schema.json"}', ["not a JSON Schema"]),
    ],
)
def test_a_schema_that_is_none_is_refused(cli: Commands, schema: str, parts: list[str]) -> None:
    cli.path("prompts.jsonl", GOOD)
    cli.path("schema.json", schema)
    ended = cli.process_batch("--response-schema", cli.path("schema.json"))
    assert_refused(cli, ended, "schema.json", *parts)


def test_a_directory_or_a_missing_file_is_no_input(cli: Commands) -> None:
    (cli.folder / "folder").mkdir()
    assert_refused(cli, cli.process_batch(name="folder"), "folder", "directory")
    assert_refused(cli, cli.process_batch(name="nothing.jsonl"), "nothing.jsonl")


def test_an_output_that_is_the_input_or_a_directory_is_refused(cli: Commands) -> None:
    cli.path("prompts.jsonl", GOOD)
    same = cli.process_batch("--output", cli.path("prompts.jsonl"))
    assert_refused(cli, same, "same file")
    assert_refused(cli, cli.process_batch("--output", str(cli.folder)), "directory")
    assert (cli.folder / "prompts.jsonl").read_text() == GOOD


def test_a_prompt_without_a_model_needs_the_option(cli: Commands) -> None:
    cli.path("prompts.jsonl", GOOD)
    target = ["--base-url", cli.to_simulator[1], "--output", cli.path("out.jsonl")]
    ended = cli.run("process_batch", cli.path("prompts.jsonl"), *target)
    assert_refused(cli, ended, "line 1", "model", "--model")


def test_an_endpoint_that_cannot_be_reached_is_waited_for_and_pauses_the_batch(
    cli: Commands, settings: Settings
) -> None:
    configure(settings, PROVIDER_PATIENCE=0)
    cli.path("prompts.jsonl", GOOD)
    address = f"http://127.0.0.1:{closed_port()}/v1"
    ended = cli.process_batch("--base-url", address, "--model", "m")
    assert ended.status == 2
    warned, waits, *_, paused, how = ended.stderr.splitlines()
    assert warned.startswith(f"Warning: {address}: connection refused, since no server listens")
    assert waits == "The prompts wait for it, up to 0 ms (PROVIDER_PATIENCE)."
    assert paused.startswith("Paused: network: no answer for ")
    assert f"{address}: connection refused, since no server listens on this port" in paused
    assert "--resume batch_" in how


def test_an_endpoint_that_accepts_and_never_answers_fails_a_few_prompts(cli: Commands) -> None:
    cli.path("prompts.jsonl", GOOD)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        ended = cli.process_batch(
            *("--base-url", address, "--model", "m", "--timeout", "0.5", "--max-attempts", "2")
        )
    assert ended.status == 1
    assert ended.stderr.startswith(f"Warning: {address}: no answer within 0.5 s\n")
    assert "no complete reply within 0.5 s" in ended.stderr


def test_a_missing_column_names_those_that_are_there(cli: Commands) -> None:
    cli.path("prompts.csv", "question,answer\nWhy?,Because\n")
    assert_refused(cli, cli.process_batch(name="prompts.csv"), "'prompt'", "'question'", "--column")


def test_resume_takes_no_options_of_a_new_batch_and_no_unknown_id(cli: Commands) -> None:
    ended = cli.process_batch("--resume", "batch_1", "--batch-size", "5", name=None)
    assert_refused(cli, ended, "--batch-size", "--resume")
    assert_refused(cli, cli.process_batch("--resume", "batch_1", name=None), "batch_1")


def test_no_input_is_a_usage_error(cli: Commands) -> None:
    assert_refused(cli, cli.process_batch(name=None), "file of prompts")


def test_a_broken_schema_of_a_prompt_is_an_error_of_its_line(cli: Commands) -> None:
    broken = (
        '{"prompt": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": 5}}}'
    )
    cli.path("prompts.jsonl", GOOD + broken)
    place = "line 2: Invalid type for 'body.response_format.json_schema.schema': "
    assert_refused(cli, cli.process_batch(), place, "expected a JSON Schema")
