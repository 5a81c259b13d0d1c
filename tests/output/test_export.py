import io
import json

import pytest
from django.utils import timezone

from batches.models import Batch, Prompt, Provider, Result
from batches.output.jsonl import ResultRow, result_line, write_results
from tests.makers import batch_of


def row(**changes: object) -> ResultRow:
    fields: dict[str, object] = {
        "prompt_id": 255,
        "index": 0,
        "custom_id": "a",
        "status": "succeeded",
        "kind": "",
        "code": "",
        "message": "",
        "status_code": 200,
        "request_id": "req-1",
        "body": '{"choices":[]}',
        **changes,
    }
    return ResultRow(**fields)  # type: ignore[arg-type] # built from a dictionary


def line(**changes: object) -> object:
    text = result_line(row(**changes))
    assert "\n" not in text
    return json.loads(text)


def test_a_success_is_a_response_without_an_error() -> None:
    assert line() == {
        "id": "batch_req_00000000000000ff",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "req-1", "body": {"choices": []}},
        "error": None,
    }


def test_an_http_error_is_a_response_without_an_error() -> None:
    found = line(status="failed", kind="server", status_code=500, body='{"error":{}}')
    assert found["response"]["status_code"] == 500  # type: ignore[index]  # any JSON
    assert found["error"] is None  # type: ignore[index]  # any JSON


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("timeout", "request_timeout"),
        ("cancelled", "batch_cancelled"),
        ("expired", "batch_expired"),
        ("network", "network"),
        ("rejected", "rejected"),
    ],
)
def test_a_prompt_without_an_answer_has_an_error(kind: str, code: str) -> None:
    found = line(status="failed", kind=kind, status_code=None, body=None, message="why")
    assert found["response"] is None  # type: ignore[index]  # any JSON
    assert found["error"] == {"code": code, "message": "why"}  # type: ignore[index]  # any JSON


def test_an_answer_of_no_use_is_there_with_the_reason() -> None:
    found = line(status="failed", kind="schema_violation", message="age: not a number")
    assert found["response"]["body"] == {"choices": []}  # type: ignore[index]  # any JSON
    assert found["error"] == {  # type: ignore[index]  # any JSON
        "code": "schema_violation",
        "message": "age: not a number",
    }


def test_hostile_texts_stay_one_line_of_json() -> None:
    hostile = 'a"}\n{"custom_id":\u2028\x1b[31m\r'
    found = line(custom_id=hostile, request_id=hostile)
    assert found["custom_id"] == hostile  # type: ignore[index]  # any JSON


def store_results(batch: Batch, *, failed: set[int], without: set[int]) -> None:
    """Results in an order that is not that of the prompts."""
    for prompt in Prompt.objects.filter(batch=batch).order_by("-index"):
        if prompt.index in without:
            continue
        is_failed = prompt.index in failed
        Result.objects.create(
            prompt=prompt,
            batch=batch,
            index=prompt.index,
            status="failed" if is_failed else "succeeded",
            kind="server" if is_failed else "",
            status_code=500 if is_failed else 200,
            body="{}",
            input_tokens=0,
            output_tokens=0,
            calls=1,
            elapsed_s=0,
            done_at=timezone.now(),
        )


def ids_in(stream: io.StringIO) -> list[str]:
    return [json.loads(text)["custom_id"] for text in stream.getvalue().splitlines()]


def test_results_come_in_the_order_of_the_prompts(provider: Provider) -> None:
    batch = batch_of(provider, 2345)
    store_results(batch, failed={7, 2000}, without={3})
    output = io.StringIO()
    assert write_results(batch, output) == 2344
    assert ids_in(output) == [f"line-{n + 1}" for n in range(2345) if n != 3]


def test_failed_prompts_have_a_file_of_their_own_if_asked(provider: Provider) -> None:
    batch = batch_of(provider, 5)
    store_results(batch, failed={1, 4}, without=set())
    output, errors = io.StringIO(), io.StringIO()
    write_results(batch, output, errors)
    assert ids_in(output) == ["line-1", "line-3", "line-4"]
    assert ids_in(errors) == ["line-2", "line-5"]
