"""A batch is made in the form: what is wrong is said at its field, with the line."""

import json
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.db.models.signals import pre_save
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.intake import checking
from batches.intake.pages import PAGE_ROWS
from batches.intake.reading import read_input
from batches.models import Batch, File, Provider
from batches.stop_signal import StopSignal
from tests.large_schemas import large_schema
from tests.makers import MODEL

PLAIN = {
    "endpoint": "/v1/chat/completions",
    "model": MODEL,
    "max_repair_attempts": "1",
    "batch_size": "10",
    "parallelism": "1",
    "schedule": "rolling",
    "order": "input",
    "reuse": "off",
    "priority": "0",
    "max_attempts": "3",
    "timeout_s": "30",
}


def post(client: Client, to: Provider, button: str, **fields: Any) -> HttpResponse:
    data = {**PLAIN, "provider": to.pk, f"_{button}": "1", **fields}
    return client.post(reverse("admin:batches_batch_add"), data)  # type: ignore[return-value]  # it is one


def errors(answer: HttpResponse) -> dict[str, list[str]]:
    found: dict[str, list[str]] = answer.context["form"].errors  # type: ignore[attr-defined]  # of the test client
    return dict(found)


def prompts_of(batch: Batch) -> list[tuple[str, Any]]:
    """What a worker finds in the input of a batch."""
    read_input(batch.pk, stop=StopSignal())
    batch.refresh_from_db()
    assert batch.errors == []
    rows = batch.prompts.order_by("index").values_list("custom_id", "body")
    return [(custom_id, json.loads(body)) for custom_id, body in rows]


def test_a_budget_in_dollars_needs_a_price(root: Client, provider: Provider) -> None:
    answer = post(root, provider, "start", prompts="one", max_cost="1.5")
    assert "cannot be used: the price of" in errors(answer)["max_cost"][0]
    assert not Batch.objects.exists()


def test_pasted_prompts_become_a_batch(root: Client, provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 1, "output": 2}}
    provider.save()
    answer = post(
        root,
        provider,
        "start",
        prompts="one\r\n\r\ntwo",
        name="a try",
        completion_hours="2",
        max_cost="1.5",
        parameters='{"temperature": 0}',
    )
    batch = Batch.objects.get()
    assert answer.headers["Location"] == reverse("admin:batches_batch_change", args=[batch.pk])
    asked = [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")]
    assert prompts_of(batch) == list(zip(("line-1", "line-3"), asked, strict=True))
    assert (batch.name, batch.batch_size) == ("a try", 10)
    assert batch.defaults == {"temperature": 0, "model": MODEL}
    assert batch.completion_window is not None
    assert float(batch.max_cost or 0) == 1.5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "custom_id,prompt\nx,hello\n"),
        ("a.jsonl", '{"custom_id": "x", "prompt": "hello"}\n'),
        (
            "a.jsonl",
            '{"custom_id": "x", "messages": [{"role": "user", "content": "hello"}]}\n',
        ),
    ],
)
def test_a_file_becomes_a_batch(root: Client, provider: Provider, name: str, content: str) -> None:
    post(root, provider, "start", file=SimpleUploadedFile(name, content.encode()))
    batch = Batch.objects.get()
    [(custom_id, body)] = prompts_of(batch)
    assert (custom_id, body["messages"][0]["content"]) == ("x", "hello")
    file = batch.input_file
    assert file is not None
    with file.content.open() as stored:
        assert (file.purpose, file.filename, stored.read()) == ("batch", name, content.encode())
    assert (batch.input_format, batch.input_column) == (name.removeprefix("a."), "prompt")


def test_a_worker_finds_what_the_form_had_no_time_to_check(
    root: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "IDS_IN_MEMORY", 0)
    rows = "".join(f"{row},hello\n" for row in ["x", *range(PAGE_ROWS), "x"])
    upload = SimpleUploadedFile("a.csv", f"custom_id,prompt\n{rows}".encode())
    post(root, provider, "start", file=upload)
    batch = Batch.objects.get()
    assert not read_input(batch.pk, stop=StopSignal())
    batch.refresh_from_db()
    [error] = batch.errors
    assert (batch.status, error["line"]) == ("failed", PAGE_ROWS + 2)
    assert "'x' was used before" in error["message"]


def test_a_preview_starts_nothing_and_keeps_the_file(root: Client, provider: Provider) -> None:
    upload = SimpleUploadedFile("why.txt", b"first\nsecond\n" * 2000)
    answer = post(root, provider, "preview", file=upload)
    preview = answer.context["preview"]  # type: ignore[attr-defined]  # of the test client
    assert not Batch.objects.exists()
    assert preview.prompts == 4000
    assert len(preview.requests) == 3
    assert json.loads(preview.requests[0].request)["messages"][0]["content"] == "first"
    kept = File.objects.get()
    assert kept.expires_at is not None
    assert f'name="stored" value="{kept.public_id}"' in answer.content.decode()
    post(root, provider, "start", stored=kept.public_id)
    batch = Batch.objects.get()
    assert len(prompts_of(batch)) == 4000
    assert batch.input_file is not None
    assert (batch.input_file.filename, batch.input_file.expires_at) == ("why.txt", None)
    # The file of the preview has become the input.
    assert File.objects.exclude(purpose="batch_output").get() == batch.input_file
    assert batch.input_file.purpose == "batch"


def test_a_second_press_makes_no_second_batch(root: Client, provider: Provider) -> None:
    once = root.get(reverse("admin:batches_batch_add")).context["form"].nonce
    first = post(root, provider, "start", prompts="one", once=once)
    again = post(root, provider, "start", prompts="one", once=once)
    assert again.headers["Location"] == first.headers["Location"]
    assert Batch.objects.count() == 1
    history = LogEntry.objects.values_list("change_message", flat=True)
    assert list(history) == ["Created."]


def test_presses_at_once_make_one_batch(
    transactional_db: None, root: Client, provider: Provider
) -> None:
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: press(root, provider), range(4)):
            assert answer.status_code == 302
    assert Batch.objects.count() == 1
    # Of those who came too late the inputs are gone.
    [file] = File.objects.all()
    assert (file.pk, file.expires_at) == (Batch.objects.get().input_file_id, None)


def press(client: Client, provider: Provider) -> HttpResponse:
    another = Client(SERVER_NAME="localhost")
    another.cookies = client.cookies
    try:
        return post(another, provider, "start", prompts="one", once="x")
    finally:
        connection.close()


def test_a_form_that_was_changed_makes_another_batch_when_pressed_again(
    root: Client, provider: Provider
) -> None:
    post(root, provider, "start", prompts="one", once="x")
    for changed in ({"prompts": "two"}, {"prompts": "one", "priority": "5"}):
        answer = post(root, provider, "start", once="x", **changed)
        assert "already started a batch" in errors(answer)["__all__"][0]
        nonce = answer.context["form"].nonce  # type: ignore[attr-defined]  # of the test client
        assert f'value="{nonce}"' in answer.content.decode()
        post(root, provider, "start", once=nonce, **changed)
    assert Batch.objects.count() == 3


TABLE = b"prompt,question\nno,yes\n"


def test_what_is_changed_after_a_preview_is_what_runs(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE))
    stored = File.objects.get().public_id
    changed = {"column": "question", "endpoint": "/v1/responses"}
    answer = post(root, provider, "preview", stored=stored, **changed)
    [one] = answer.context["preview"].requests  # type: ignore[attr-defined]  # of the test client
    assert json.loads(one.request)["input"] == "yes"
    post(root, provider, "start", stored=stored, **changed)
    assert prompts_of(Batch.objects.get()) == [("row-1", {"input": "yes"})]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"batch_size": "0"}, "batch_size"),
        ({"column": "typo"}, "column"),
        ({"schema": "{"}, "schema"),
    ],
)
@pytest.mark.parametrize("button", ["preview", "start"])
def test_a_file_is_not_chosen_again_because_of_a_fault_elsewhere(
    root: Client, provider: Provider, button: str, fields: dict[str, str], field: str
) -> None:
    answer = post(root, provider, button, file=SimpleUploadedFile("a.csv", TABLE), **fields)
    assert list(errors(answer)) == [field]
    stored = File.objects.get().public_id
    again = post(root, provider, button, stored=stored, **fields)
    for page in (answer.content.decode(), again.content.decode()):
        assert "a.csv" in page
        assert f'name="stored" value="{stored}"' in page
    post(root, provider, "start", stored=stored)
    [(_, body)] = prompts_of(Batch.objects.get())
    assert body["messages"][0]["content"] == "no"


def test_a_second_press_after_a_preview_makes_no_second_batch(
    root: Client, provider: Provider
) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE), once="x")
    fields = {"stored": File.objects.get().public_id, "once": "x"}
    first, again = (post(root, provider, "start", **fields) for _ in range(2))
    assert again.headers["Location"] == first.headers["Location"]
    changed = post(root, provider, "start", **fields, priority="5")
    nonce = changed.context["form"].nonce  # type: ignore[attr-defined]  # of the test client
    post(root, provider, "start", **{**fields, "once": nonce}, priority="5")
    assert [batch.input_file for batch in Batch.objects.all()] == [File.objects.get()] * 2


def test_a_file_that_is_removed_from_the_form_goes_away(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE))
    stored = File.objects.get().public_id
    post(root, provider, "preview", stored=stored, drop_stored="on", prompts="pasted")
    assert not File.objects.exists()


def test_another_file_replaces_the_one_that_is_kept(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE))
    stored, other = File.objects.get().public_id, SimpleUploadedFile("b.txt", b"other\n")
    post(root, provider, "start", stored=stored, file=other)
    batch = Batch.objects.get()
    [(_, body)] = prompts_of(batch)
    assert body["messages"][0]["content"] == "other"
    assert File.objects.exclude(purpose="batch_output").get() == batch.input_file


def test_a_kept_file_can_be_done_without(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE))
    stored = File.objects.get().public_id
    both = post(root, provider, "start", stored=stored, prompts="pasted")
    assert "Remove one of them" in errors(both)["file"][0]
    post(root, provider, "start", stored=stored, prompts="pasted", drop_stored="on")
    [(_, body)] = prompts_of(Batch.objects.get())
    assert body["messages"][0]["content"] == "pasted"


def test_a_batch_that_could_not_be_made_leaves_no_file(root: Client, provider: Provider) -> None:
    def full(**_: Any) -> None:
        raise OperationalError

    pre_save.connect(full, sender=Batch)
    try:
        with pytest.raises(OperationalError):
            post(root, provider, "start", prompts="a")
    finally:
        pre_save.disconnect(full, sender=Batch)
    assert not File.objects.exists()


def test_the_cost_is_told_before(root: Client, provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 1_000_000, "output": 0}}
    provider.save()
    answer = post(root, provider, "preview", prompts="x" * 400)
    estimate = answer.context["preview"].estimate  # type: ignore[attr-defined]  # of the test client
    # Four characters to a token, a dollar each; around the text there is some JSON.
    assert 100 < estimate.cost < 140
    cheaper = post(root, provider, "preview", prompts="x" * 400, model="unknown")
    assert cheaper.context["preview"].estimate.cost is None  # type: ignore[attr-defined]  # the same


def test_another_user_s_preview_is_not_to_be_started(root: Client, provider: Provider) -> None:
    theirs = File.objects.create(purpose="user_data", filename="a.jsonl", bytes=1)
    answer = post(root, provider, "start", stored=theirs.public_id)
    assert "Choose it again" in errors(answer)["file"][0]
    assert not Batch.objects.exists()


def test_a_preview_that_has_expired_is_asked_for_again(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=SimpleUploadedFile("a.txt", b"hello\n"))
    File.objects.update(expires_at=timezone.now())
    answer = post(root, provider, "start", stored=File.objects.get().public_id)
    assert "Choose it again" in errors(answer)["file"][0]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "prompts", "Paste prompts or choose a file."),
        ({"prompts": " \n "}, "prompts", "Paste prompts"),
        (
            {"prompts": "a\nb", "model": ""},
            "model",
            "Name a model: lines of text",
        ),
        (
            {"prompts": '{"prompt": "a"}\n{"prompt": 5}\nnonsense', "format": "jsonl"},
            "prompts",
            "line 2: Invalid type for 'prompt': expected a string|line 3: This line is not",
        ),
        (
            {"prompts": '{"custom_id":"a","prompt":"a"}\n' * 2, "format": "jsonl"},
            "prompts",
            "line 2: The 'custom_id' 'a' was used before",
        ),
        ({"prompts": "a", "schema": "{"}, "schema", "Enter a valid JSON."),
        ({"prompts": "a", "schema": '{"type": "nonsense"}'}, "schema", "not a JSON Schema"),
        ({"prompts": "a", "parameters": "[1]"}, "parameters", "Must be a JSON object."),
        (
            {"prompts": "a", "parameters": '{"stream": true}'},
            "parameters",
            "Invalid value for 'body.stream': true. A batch does not support",
        ),
        (
            {"prompts": "a", "parameters": '{"api_key": "x"}'},
            "parameters",
            "'body.api_key' is not allowed",
        ),
        (
            {"prompts": "a", "parameters": '{"response_format": {"type": "json_schema"}}'},
            "parameters",
            "'body.response_format.json_schema.schema': expected a JSON Schema",
        ),
        ({"prompts": "a", "batch_size": "0"}, "batch_size", "greater than or equal to 1"),
        ({"prompts": "a", "provider": "999"}, "provider", "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    root: Client, provider: Provider, fields: dict[str, str], field: str, message: str
) -> None:
    for button in ("preview", "start"):
        found = "\n".join(errors(post(root, provider, button, **fields))[field])
        assert all(part in found for part in message.split("|")), found
    assert not Batch.objects.exists()
    assert not File.objects.exists()


UNFIT = (
    ("NaN", "NaN is not JSON"),
    ("[1e999]", "a number is out of range"),
    ("9" * 5000, "a number has too many digits"),
    ("[" * 200 + "]" * 200, "nested more than 100 levels deep"),
    ("[" * 100_000, "nested more than 100 levels deep"),
    (r'"\ud800"', "half of a surrogate pair"),
    (r'"\u0000"', "NUL"),
    ('{"a": 1, "a": 2}', "is given twice"),
)


@pytest.mark.parametrize(("text", "message"), UNFIT)
@pytest.mark.parametrize("field", ["parameters", "schema"])
def test_json_that_nobody_could_store_or_send_is_refused_at_its_field(
    root: Client, provider: Provider, field: str, text: str, message: str
) -> None:
    value = text if text.startswith("{") else f'{{"a": {text}}}'
    for button in ("preview", "start"):
        answer = post(root, provider, button, prompts="a", **{field: value})
        assert message in errors(answer)[field][0]
        # It is shown again as it was entered.
        assert value[:20] in unescape(answer.content.decode())
    assert not Batch.objects.exists()


def test_a_wrong_line_of_a_file_is_said_at_the_file(root: Client, provider: Provider) -> None:
    answer = post(root, provider, "start", file=SimpleUploadedFile("a.jsonl", b'{"prompt": 1}\n'))
    assert "line 1: Invalid type for 'prompt'" in errors(answer)["file"][0]


@pytest.mark.parametrize(
    "content",
    ['[{"prompt": "a"}, {"prompt": "b"}]', '[\n  {"prompt": "a"}\n]', '{\n"prompt": "a"\n}'],
)
def test_of_json_that_is_not_in_lines_it_is_said_once(
    root: Client, provider: Provider, content: str
) -> None:
    upload = SimpleUploadedFile("a.json", content.encode())
    [error] = errors(post(root, provider, "preview", file=upload))["file"]
    assert "needs one object on each line" in error


def test_what_is_too_long_for_a_form_is_answered_with_what_to_do(
    root: Client, provider: Provider, settings: Settings
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100_000
    answer = post(root, provider, "start", prompts="x" * 100_001)
    assert answer.status_code == 413
    assert "Put long texts into a file" in answer.content.decode()
    upload = SimpleUploadedFile("pasted.txt", b"x" * 100_001)
    assert post(root, provider, "start", file=upload).status_code == 302


def test_of_many_errors_the_first_are_shown(root: Client, provider: Provider) -> None:
    answer = post(root, provider, "preview", prompts="5\n" * 1000, format="jsonl")
    assert len(errors(answer)["prompts"]) == 21


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        *(("/v1/completions", "prompt"), ("/v1/moderations", "input"), ("/v1/videos", "prompt")),
        *(("/v1/images/generations", "prompt"), ("/v1/images/edits", "prompt")),
    ],
)
def test_a_pasted_prompt_is_asked_in_the_field_of_its_endpoint(
    root: Client, provider: Provider, endpoint: str, field: str
) -> None:
    post(root, provider, "start", prompts="one", endpoint=endpoint)
    assert prompts_of(Batch.objects.get()) == [("line-1", {field: "one"})]


def test_a_path_that_staff_allow_can_be_chosen_where_it_is_allowed(
    root: Client, provider: Provider
) -> None:
    line = '{"query": "cats", "documents": ["dogs", "cats"]}'
    fields = {"format": "jsonl", "prompts": line, "endpoint": "/v1/rerank"}
    assert "endpoint" in errors(post(root, provider, "start", **fields))
    Provider.objects.create(name="b", base_url="http://b", extra_endpoints=["/v1/rerank"])
    message = errors(post(root, provider, "start", **fields))["endpoint"]
    assert "does not allow '/v1/rerank'" in message[0]
    provider.extra_endpoints = ["/v1/rerank"]
    provider.save()
    schema = errors(post(root, provider, "start", **fields, schema='{"type": "object"}'))["schema"]
    assert "/v1/rerank, since its answers are not JSON" in schema[0]
    text = errors(post(root, provider, "start", **fields | {"format": "text"}))["format"]
    assert "A text alone is not a request to /v1/rerank" in text[0]
    post(root, provider, "start", **fields)
    assert prompts_of(Batch.objects.get()) == [("line-1", json.loads(line))]


def test_shared_schemas_that_are_too_large_together_are_an_error_of_their_field(
    root: Client, provider: Provider
) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"f{number}",
                "strict": True,
                "parameters": large_schema(number, fields=1500),
            },
        }
        for number in range(6)
    ]
    fields = {"prompts": "hi", "parameters": json.dumps({"tools": tools})}
    message = errors(post(root, provider, "start", **fields))["parameters"]
    assert "Offer fewer tools" in message[0]
    assert not Batch.objects.exists()
