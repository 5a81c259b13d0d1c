"""What a batch makes of replies that are odd, unfinished, or an error in disguise."""

import io
import json
from typing import Any

import pytest

from batches.actions import batches as batch_actions
from batches.engine.prepare import with_response_schema
from batches.inputs.prompts import NewPrompt
from batches.models import Batch, Provider, Result
from batches.output.jsonl import result_rows, write_results
from batches.runner.run import run_slice
from tests.checker import check_batch
from tests.makers import MODEL, batch_of, options
from tests.receivers import receiving, url_of
from tests.scripted_server import Step, answer, chat

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
UNFIT = {
    "error": {
        "message": "Failed to generate JSON.",
        "code": "json_validate_failed",
        "failed_generation": '{"n": ',
    }
}


def run(provider: Provider, *script: Step, prompts: int = 1, **changes: Any) -> tuple[Batch, int]:
    """Run a batch against a scripted provider; return it and the number of calls."""
    with receiving(*script) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, prompts, batch_size=1, **changes)
        run_slice(batch.pk)
        calls = len(server.requests)
    batch.refresh_from_db()
    return batch, calls


def result_of(batch: Batch) -> Result:
    return Result.objects.get(batch=batch)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_odd_reply_succeeds_and_says_what_was_odd(provider: Provider, status: int) -> None:
    body = chat("hello", usage=[], choices=[{"text": "hello", "finish_reason": {"type": "stop"}}])
    batch, calls = run(provider, answer(body, status=status))
    check_batch(batch)
    found = result_of(batch)
    assert (batch.succeeded, calls, found.status_code) == (1, 1, status)
    assert found.finish_reason == "stop"
    assert "finish_reason was an object" in found.message
    assert "usage was a list" in found.message
    assert "estimate" in found.message
    (line,) = map(json.loads, lines_of(batch))
    assert (line["error"], line["response"]["body"]) == (None, body)


def lines_of(batch: Batch) -> list[str]:
    output = io.StringIO()
    assert write_results(batch, output) == len(list(result_rows(batch)))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("status", [200, 201])
def test_a_paid_reply_that_cannot_be_read_is_paid_for_once(provider: Provider, status: int) -> None:
    body = chat(choices=[])
    batch, calls = run(provider, answer(body, status=status))
    check_batch(batch)
    found = result_of(batch)
    assert (calls, found.kind) == (1, "malformed")
    assert (batch.input_tokens, batch.output_tokens) == (3, 2)
    (line,) = map(json.loads, lines_of(batch))
    assert line["error"]["code"] == "malformed"
    assert line["response"]["body"] == body


def test_a_reply_that_broke_off_is_tried_again_and_its_last_body_kept(provider: Provider) -> None:
    half = json.dumps(chat("an answer that breaks")).encode()[:-60]
    batch, calls = run(provider, answer(half), max_attempts=2)
    check_batch(batch)
    found = result_of(batch)
    assert (calls, found.kind, found.status_code) == (2, "malformed", 200)
    (line,) = map(json.loads, lines_of(batch))
    assert line["error"]["code"] == "malformed"
    assert line["response"]["body"]["body"] == half.decode()


def test_an_answer_that_the_provider_could_not_make_fit_is_asked_for_again(
    provider: Provider,
) -> None:
    defaults = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=SCHEMA)
    script = (answer(UNFIT, status=400), answer(chat('{"n": 1}')))
    batch, calls = run(provider, *script, defaults=defaults)
    check_batch(batch)
    assert (batch.succeeded, calls, result_of(batch).rung) == (1, 2, "asked_again")


def test_an_answer_that_never_fits_fails_as_an_answer(provider: Provider) -> None:
    batch, calls = run(provider, answer(UNFIT, status=400))
    check_batch(batch)
    found = result_of(batch)
    assert (found.kind, calls, found.status_code) == ("not_json", 2, 400)
    assert "Failed to generate JSON." in found.message


@pytest.mark.parametrize("status", ["queued", "in_progress", "incomplete"])
def test_an_unfinished_response_is_no_success(provider: Provider, status: str) -> None:
    body = {"object": "response", "status": status, "output": [], "usage": {"input_tokens": 3}}
    with receiving(answer(body)) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        prompt = NewPrompt(1, "a", '{"input": "hi"}')
        batch = batch_actions.create_batch(provider, [prompt], options(endpoint="/v1/responses"))
        run_slice(batch.pk)
        calls = len(server.requests)
    batch.refresh_from_db()
    assert (batch.failed, calls) == (1, 1)
    assert status in result_of(batch).message


def test_money_that_is_told_in_a_200_pauses_the_provider(provider: Provider) -> None:
    body = {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    batch, calls = run(provider, answer(body), prompts=5)
    provider.refresh_from_db()
    assert provider.pause_reason.startswith("quota: ")
    assert "insufficient balance" in provider.pause_reason
    assert (batch.failed, calls) == (0, 1)


def test_half_an_answer_with_an_error_is_tried_again(provider: Provider) -> None:
    choice = {"message": {"content": "half a sen"}, "finish_reason": "error"}
    failed = chat(choices=[{**choice, "error": {"code": 502, "message": "upstream broke"}}])
    batch, calls = run(provider, answer(failed), answer(chat("whole")))
    check_batch(batch)
    assert (batch.succeeded, calls) == (1, 2)
