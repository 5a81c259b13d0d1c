"""A few prompts: a wrong address pauses them as it pauses many; they get the system prompt."""

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from batches.engine.prepare import whole_body
from batches.models import Batch, Result
from tests.command_line import Commands, prompt_lines
from tests.configuring import configure
from tests.scripted_server import Step, answer
from tests.scripted_thread import scripted

NO_MODEL = {"error": {"message": "model 'x' not found, try pulling it first"}}


@pytest.mark.parametrize("prompts", [3, 30])
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answer(b"<html>Not Found</html>", status=404), "HTTP 404"),
        (answer({"detail": "Not Found"}, status=404), "HTTP 404"),
        (answer({"detail": "Method Not Allowed"}, status=405), "HTTP 405"),
        (answer(b"\n<!doctype html><html>Welcome</html>"), "is this the address of an API?"),
        (answer(b"Gone", status=410), "HTTP 410"),
        (answer(b"<html>Unsupported method ('POST')</html>", status=501), "HTTP 501"),
        (answer(status=301, location="https://elsewhere.example/"), "HTTP 301"),
        (answer(NO_MODEL, status=400), "model 'x' not found"),
        (answer(NO_MODEL, status=404), "model 'x' not found"),
    ],
    ids="page json get-only site gone file-server moved model-400 model-404".split(),
)
def test_nothing_fails_and_the_remedy_is_told(
    cli: Commands, settings: Settings, step: Step, reason: str, prompts: int
) -> None:
    configure(settings, PROVIDER_PATIENCE=0)
    cli.path("prompts.jsonl", prompt_lines(prompts))
    with scripted(step) as address:
        ended = cli.process_batch(
            *("--base-url", address, "--model", "x", "--max-attempts", "2"),
        )
    assert ended.status == 2, ended.stderr
    assert "Paused: " in ended.stderr
    assert reason in ended.stderr
    assert "start a new batch with another --model or --base-url" in ended.stderr
    assert not Result.objects.exists()


HELLO = {"role": "user", "content": "hi"}


def sent(cli: Commands) -> dict[str, Any]:
    """Return the body of the only request, without its model."""
    batch = Batch.objects.get()
    body = whole_body(batch.defaults, json.loads(batch.prompts.get().body))
    del body["model"]
    return body


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "prompt\nhi\n"),
        ("p.txt", "hi\n"),
        ("p.jsonl", '{"prompt": "hi"}\n'),
        ("p.jsonl", '{"messages": [{"role": "user", "content": "hi"}]}\n'),
    ],
)
def test_a_system_prompt_comes_before_every_prompt(cli: Commands, name: str, content: str) -> None:
    cli.path(name, content)
    assert cli.process_batch("--system", "Be brief.", name=name).status == 0
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}
    assert sent(cli) == {"messages": [system, user]}


def test_a_system_prompt_of_the_responses_endpoint_is_its_instructions(cli: Commands) -> None:
    cli.path("p.txt", "hi\n")
    ended = cli.process_batch("--system", "Be brief.", "--endpoint", "/v1/responses", name="p.txt")
    assert ended.status == 0, ended.stderr
    assert sent(cli) == {"input": "hi", "instructions": "Be brief."}


@pytest.mark.parametrize(
    ("endpoint", "line"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "system", "content": "x"}, HELLO]}),
        ("/v1/chat/completions", {"messages": [{"role": "developer", "content": "x"}, HELLO]}),
        ("/v1/responses", {"input": "hi", "instructions": "x"}),
    ],
)
def test_a_request_keeps_its_own_system_prompt(cli: Commands, endpoint: str, line: object) -> None:
    cli.path("prompts.jsonl", json.dumps(line))
    ended = cli.process_batch("--system", "Be brief.", "--endpoint", endpoint)
    assert ended.status == 0, ended.stderr
    assert sent(cli) == line


def test_an_endpoint_without_a_system_prompt_refuses_one(cli: Commands) -> None:
    cli.path("prompts.jsonl", '{"input": "hi"}')
    ended = cli.process_batch("--system", "Be brief.", "--endpoint", "/v1/embeddings")
    assert ended.status == 2
    assert "--system: A system prompt cannot be used with /v1/embeddings." in ended.stderr
