"""Structured output by the bulk command: its options, its summary, its output."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Commands

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORMS = ("plain", "fenced", "trailing_comma", "wrong_type turn=1")


def prepare(cli: Commands, schema: Any = SCHEMA) -> list[str]:
    lines = [json.dumps({"prompt": f"[simulate: answer={form}]"}) for form in FORMS]
    cli.path("prompts.jsonl", "\n".join(lines))
    return ["--response-schema", cli.path("schema.json", json.dumps(schema)), "--json", "--quiet"]


def lines_of(cli: Commands) -> list[dict[str, Any]]:
    text = Path(cli.path("out.jsonl")).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_every_rung_is_climbed_counted_and_in_the_output(cli: Commands) -> None:
    ended = cli.process_batch(*prepare(cli))
    assert ended.status == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["rungs"] == dict.fromkeys(("asked_again", "extracted", "parsed", "repaired"), 1)
    assert summary["calls"] == 5
    lines = lines_of(cli)
    assert [line["rung"] for line in lines] == ["parsed", "extracted", "repaired", "asked_again"]
    assert all(isinstance(line["parsed"]["n"], int) for line in lines)


def test_the_schema_may_come_through_a_pipe(cli: Commands) -> None:
    options = prepare(cli)
    pipe = cli.path("pipe")
    os.mkfifo(pipe)
    schema = Path(options[1]).read_text()
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(Path(pipe).write_text, schema)
        ended = cli.process_batch("--response-schema", pipe, "--quiet")
    assert ended.status == 0, ended.stderr
    assert written.result() == len(schema)


def test_rungs_can_be_turned_off(cli: Commands) -> None:
    off = ["--no-extract", "--no-repair", "--max-repair-attempts", "0"]
    ended = cli.process_batch(*prepare(cli), *off)
    assert ended.status == 1, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["rungs"], summary["calls"]) == ({"parsed": 1}, 4)
    assert summary["failures"] == {"not_json": 2, "schema_violation": 1}


def test_the_strict_form_is_sent_and_the_schema_as_given_is_checked(cli: Commands) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "string", "minLength": 5}}}
    ended = cli.process_batch(*prepare(cli, schema), "--strict-schema")
    assert ended.status in (0, 1), ended.stderr
    for line in lines_of(cli):
        assert "parsed" not in line or len(line["parsed"].get("n", "long enough")) >= 5


@pytest.mark.parametrize(
    "option", [["--no-extract"], ["--strict-schema"], ["--max-repair-attempts", "2"]]
)
def test_a_resumed_batch_keeps_its_own(cli: Commands, option: list[str]) -> None:
    ended = cli.process_batch("--resume", "batch_0123", *option, name=None)
    assert ended.status == 2
    assert option[0] in ended.stderr


@pytest.mark.parametrize("number", ["-1", "11", "x"])
def test_a_number_of_repair_attempts_that_makes_no_sense_is_a_usage_error(
    cli: Commands, number: str
) -> None:
    ended = cli.process_batch(*prepare(cli), "--max-repair-attempts", number)
    assert ended.status == 2
    assert "--max-repair-attempts" in ended.stderr
