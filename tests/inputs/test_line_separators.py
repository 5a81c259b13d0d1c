"""Whatever an answer or a name holds, a line of our output is one line to every reader of lines."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.api.batch_object import batch_object, readable_batches
from batches.api.events import _event
from batches.engine.text.json_text import one_line, storable
from batches.inputs.prompt_files import InputOptions
from batches.intake.checking import check_prompts
from batches.management.bulk.output import write_outputs
from batches.models import Batch, File, Prompt, Provider, Result
from batches.output.csv import csv_lines
from batches.output.jsonl import ResultRow, file_line, result_line, write_results
from batches.runner.run import run_slice
from tests.api.calling import client_of, user_named
from tests.makers import batch_of

# What str.splitlines() breaks at.
BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
texts = st.text(st.sampled_from(BREAKS + 'ab"\\/{é\U0001f600\t\x7f'), max_size=20)
values = st.recursive(
    texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


def test_these_are_all_that_lines_break_at() -> None:
    found = {chr(code) for code in range(0x110000) if len(f"a{chr(code)}b".splitlines()) > 1}
    assert found == set(BREAKS)


@given(values)
def test_json_on_one_line_is_the_same_value(value: Any) -> None:
    text = one_line(json.dumps(value, ensure_ascii=False))
    assert len(text.splitlines()) == 1
    assert json.loads(text) == value
    assert one_line(text) == text


@given(
    name=texts,
    message=texts,
    request_id=texts,
    body=values,
    parsed=values,
    rung=st.sampled_from(["", "parsed"]),
    status=st.sampled_from(["succeeded", "failed"]),
    escaped=st.booleans(),
)
def test_a_line_of_a_file_is_one_line_with_the_same_values(
    *,
    name: str,
    message: str,
    request_id: str,
    body: Any,
    parsed: Any,
    rung: str,
    status: str,
    escaped: bool,
) -> None:
    row = ResultRow(
        prompt_id=1,
        index=0,
        custom_id=name,
        status=status,
        kind="" if status == "succeeded" else "empty",
        code="",
        message=message,
        status_code=200,
        request_id=request_id,
        body=json.dumps(body, ensure_ascii=escaped),
        parsed=json.dumps(parsed, ensure_ascii=escaped),
        rung=rung,
    )
    for text in (file_line(row), result_line(row)):
        assert len(text.splitlines()) == 1
        found = json.loads(text)
        assert found["custom_id"] == name
        assert found["response"] == {"status_code": 200, "request_id": request_id, "body": body}
        assert status == "succeeded" or found["error"]["message"] == message
        if "rung" in found:
            assert found["parsed"] == parsed


HOSTILE = "".join(f"<{char}>" for char in BREAKS)


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """A batch of three with line breaks wherever there is text; one failed, one has a schema."""
    batch = batch_of(provider, 3, metadata={f"k{HOSTILE}"[:64]: HOSTILE})
    for prompt in Prompt.objects.filter(batch=batch):
        Prompt.objects.filter(pk=prompt.pk).update(custom_id=f"{HOSTILE}{prompt.index}")
    assert run_slice(batch.pk).ended
    message = {"role": "assistant", "content": HOSTILE}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], HOSTILE: 1}
    raw = json.dumps(body, ensure_ascii=False).encode()
    Result.objects.filter(batch=batch).update(body=storable(raw))
    failed = Result.objects.filter(batch=batch, index=1)
    failed.update(status="failed", kind="request", code=HOSTILE, message=HOSTILE, body=None)
    parsed = json.dumps([HOSTILE], ensure_ascii=False)
    Result.objects.filter(batch=batch, index=2).update(parsed=parsed, rung="parsed")
    batch.refresh_from_db()
    return batch


def check_lines(text: str, count: int) -> list[dict[str, Any]]:
    lines = text.splitlines()
    assert len(lines) == count
    return [json.loads(line) for line in lines]


def test_files_of_the_command_have_as_many_lines_as_rows(batch: Batch, tmp_path: Path) -> None:
    good, bad = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    write_outputs(batch, str(good), str(bad))
    first, second = check_lines(good.read_text(encoding="utf-8"), 2)
    [failed] = check_lines(bad.read_text(encoding="utf-8"), 1)
    assert [found["custom_id"] for found in (first, failed, second)] == [
        f"{HOSTILE}{index}" for index in range(3)
    ]
    assert first["response"]["body"]["choices"][0]["message"]["content"] == HOSTILE
    assert failed["error"]["message"] == HOSTILE
    assert second["parsed"] == [HOSTILE]
    together = io.StringIO()
    assert write_results(batch, together) == 3
    check_lines(together.getvalue(), 3)


def test_an_event_has_its_data_in_one_line(batch: Batch) -> None:
    shown = batch_object(readable_batches().get(pk=batch.pk))
    event, data, *rest = _event("progress", shown).decode().splitlines()
    assert (event, rest) == ("event: progress", [""])
    assert json.loads(data.removeprefix("data: "))["metadata"] == batch.metadata


def test_cells_of_a_spreadsheet_are_as_they_were(batch: Batch) -> None:
    text = b"".join(csv_lines(batch)).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(rows) == 3
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["custom_id"] for row in found] == [f"{HOSTILE}{index}" for index in range(3)]
    assert found[0]["answer"] == HOSTILE
    assert found[1]["message"] == HOSTILE
    assert json.loads(found[2]["answer"]) == [HOSTILE]


@given(st.lists(texts.filter(str.strip), min_size=1, max_size=3))
def test_an_input_file_has_as_many_prompts_as_json_lines(prompts: list[str]) -> None:
    lines = (json.dumps({"prompt": text}, ensure_ascii=False) for text in prompts)
    options = InputOptions(
        endpoint="/v1/chat/completions", defaults={"model": "m"}, max_line_bytes=10_000
    )
    found = check_prompts(io.BytesIO("\n".join(lines).encode()), options)
    assert found.prompts == len(prompts)
    bodies = [json.loads(prompt.body) for prompt in found.samples]
    assert [body["messages"][0]["content"] for body in bodies] == prompts


def test_a_finished_file_says_how_long_it_is_and_is_that_long(provider: Provider) -> None:
    user = user_named()
    batch = batch_of(provider, ["fine", "[simulate: status=400]", HOSTILE], max_attempts=1)
    Batch.objects.filter(pk=batch.pk).update(owner=user)
    File.objects.update(owner=user)
    for prompt in Prompt.objects.filter(batch=batch):
        Prompt.objects.filter(pk=prompt.pk).update(custom_id=f"{HOSTILE}{prompt.index}")
    client = client_of(user)
    batch.refresh_from_db()
    assert batch.output_file
    assert batch.error_file
    Batch.objects.filter(pk=batch.pk).update(succeeded=1, failed=1)
    addresses = [
        f"/v1/files/{file.public_id}/content" for file in (batch.output_file, batch.error_file)
    ]
    for address in addresses:
        assert "Content-Length" not in client.get(address).headers
    Batch.objects.filter(pk=batch.pk).update(succeeded=0, failed=0)
    assert run_slice(batch.pk).ended
    for address in addresses:
        reply = client.get(address)
        content = b"".join(reply.streaming_content)  # type: ignore[attr-defined]  # of a stream
        assert int(reply.headers["Content-Length"]) == len(content) > 0
        assert client.head(address).headers["Content-Length"] == str(len(content))
        check_lines(content.decode(), content.count(b"\n"))


def test_the_length_of_a_file_whose_lines_were_counted_in_another_form_is_not_said(
    provider: Provider,
) -> None:
    user = user_named()
    batch = batch_of(provider, ["fine"])
    assert run_slice(batch.pk).ended
    File.objects.update(owner=user)
    batch.refresh_from_db()
    assert batch.output_file
    assert batch.report
    older = {name: value for name, value in batch.report.items() if name != "line_format"}
    Batch.objects.filter(pk=batch.pk).update(report=older)
    client = client_of(user)
    reply = client.get(f"/v1/files/{batch.output_file.public_id}/content")
    assert reply.status_code == 200
    assert "Content-Length" not in reply.headers
