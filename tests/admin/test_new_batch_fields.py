"""The form of a new batch offers what fits, and says at each field what is wrong with it."""

import re
import time
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.actions.providers import provider_at
from batches.intake.reading import read_input
from batches.models import Batch, Provider
from batches.stop_signal import StopSignal
from tests.admin.makers import ended_batch
from tests.admin.test_new_batch import PLAIN, errors, post, prompts_of
from tests.inputs.table_files import parquet
from tests.inputs.workbooks import written
from tests.makers import MODEL, batch_of

ADD = "admin:batches_batch_add"
TABLE = b"id;question;answer\n1;Why?;no\n"


def page(client: Client) -> str:
    return client.get(reverse(ADD)).content.decode()


def selected(text: str, name: str) -> str:
    """The label of the option that is chosen in a drop-down; empty if none is."""
    [field] = re.findall(rf'<select name="{name}".*?</select>', text, re.DOTALL)
    found = re.findall(r"<option [^>]*selected>([^<]*)<", field)
    return found[0] if found else ""


def columns(client: Client, name: str, content: bytes, **fields: str) -> str:
    data = {**PLAIN, "file": SimpleUploadedFile(name, content), "column": "prompt", **fields}
    return client.post(reverse("admin:batches_batch_columns"), data).content.decode()


def options(text: str) -> list[str]:
    return re.findall(r'<option value="([^"]*)"', text)


# -- the system prompt


def test_a_system_prompt_is_stored_once_and_sent_before_each_prompt(
    root: Client, provider: Provider
) -> None:
    fields = {"prompts": "one\ntwo", "system": "Be brief."}
    preview = post(root, provider, "preview", **fields).context["preview"]  # type: ignore[attr-defined]  # of the test client
    assert '"role": "system",\n      "content": "Be brief."' in preview.requests[1].request
    post(root, provider, "start", **fields)
    batch = Batch.objects.get()
    assert batch.defaults["messages"] == [{"role": "system", "content": "Be brief."}]
    assert "Be brief." not in str(prompts_of(batch))


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"system": "a", "endpoint": "/v1/embeddings"}, "system", "cannot be used with"),
        (
            {"system": "a", "parameters": '{"messages": []}', "format": "jsonl"},
            "parameters",
            "Give either 'messages' or a system prompt",
        ),
        ({"parameters": '{"messages": [{"role": "user"}]}'}, "parameters", "is never sent"),
        ({"parameters": '{"model": "another"}'}, "parameters", "'model' is given here and"),
        (
            {"schema": '{"type": "object"}', "parameters": '{"response_format": {}}'},
            "parameters",
            "The schema of the answers is given here and",
        ),
    ],
)
def test_what_would_be_dropped_is_refused_at_its_field(
    root: Client, provider: Provider, fields: dict[str, str], field: str, message: str
) -> None:
    found = errors(post(root, provider, "start", prompts="a\nb", **fields))
    assert list(found) == [field]
    assert message in found[field][0]


# -- columns


def test_the_columns_of_a_table_are_offered(root: Client, provider: Provider) -> None:
    fields = columns(root, "a.csv", TABLE, provider=str(provider.pk))
    assert options(fields) == ["", "id", "question", "answer"]
    # Excel's way to write a text: UTF-16 with tabs. The only column besides the ID is chosen.
    tabs = "custom_id\tquestion\n1\tWhy?\n".encode("utf-16")
    assert options(columns(root, "a.tsv", tabs)) == ["question", "custom_id"]
    assert selected(columns(root, "a.csv", b"a,prompt\n"), "column") == "prompt"


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet"])
def test_the_prompts_of_a_workbook_or_parquet_file_are_chosen_and_started(
    root: Client, provider: Provider, name: str
) -> None:
    rows = [("id", "question", "answer"), (1, "Why?", "no"), (2, "How?", None)]
    given = {name: [row[n] for row in rows[1:]] for n, name in enumerate(rows[0])}
    raw = written(rows) if name == "a.xlsx" else parquet(given)
    fields = columns(root, name, raw, provider=str(provider.pk))
    assert options(fields) == ["", "id", "question", "answer"]
    file = SimpleUploadedFile(name, raw)
    preview = post(root, provider, "preview", file=file, column="question")
    [stored] = re.findall(r'name="stored" value="([^"]+)"', preview.content.decode())
    assert "Why?" in preview.content.decode()
    post(root, provider, "start", stored=stored, column="question")
    batch = Batch.objects.get()
    assert batch.input_format == name[2:]
    assert read_input(batch.pk, stop=StopSignal())
    assert "How?" in str(prompts_of(batch))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x1f\x8b\x08", b'"a'])
def test_without_a_header_the_column_is_typed(root: Client, content: bytes) -> None:
    assert '<input type="text" name="column" value="prompt"' in columns(root, "a.csv", content)


def test_a_text_has_no_columns(root: Client) -> None:
    assert '<input type="text"' in columns(root, "a.txt", TABLE)


def test_columns_are_offered_to_who_may_make_batches(client: Client) -> None:
    address = reverse("admin:batches_batch_columns")
    assert client.post(address).headers["Location"].startswith(reverse("admin:login"))


def test_a_column_that_is_missing_is_chosen_in_the_next_try(
    root: Client, provider: Provider
) -> None:
    answer = post(root, provider, "preview", file=SimpleUploadedFile("a.csv", TABLE))
    assert list(errors(answer)) == ["column"]
    assert len(errors(answer)["column"]) == 1
    assert "Choose a column" in answer.content.decode()
    stored = re.findall(r'name="stored" value="([^"]+)"', answer.content.decode())[0]
    again = post(root, provider, "preview", stored=stored, column="question")
    assert selected(again.content.decode(), "column") == "question"


# -- models


def test_the_models_of_each_provider_are_suggested(root: Client, provider: Provider) -> None:
    ended_batch(provider, ["a"])
    other = Provider.objects.create(name="other", base_url="http://b", model_names=["b1", "b2"])
    text = page(root)
    for pk, names in ((provider.pk, [MODEL]), (other.pk, ["b1", "b2"])):
        [found] = re.findall(rf'<datalist id="models-{pk}">(.*?)</datalist>', text)
        assert options(found) == names
    assert f'list="models-{provider.pk}"' in text


def test_a_model_that_the_provider_does_not_list_is_an_error_of_its_field(
    root: Client, provider: Provider
) -> None:
    Provider.objects.update(model_names=["small", "large"])
    found = errors(post(root, provider, "preview", prompts="a\nb\nc", model="smal"))
    assert list(found) == ["model"]
    assert len(found["model"]) == 1
    assert "small" in found["model"][0]


def test_lines_without_a_model_are_one_error_of_the_model(root: Client, provider: Provider) -> None:
    fields = {"format": "jsonl", "prompts": '{"prompt": "a"}\n' * 3, "model": ""}
    found = errors(post(root, provider, "preview", **fields))
    assert list(found) == ["model"]
    first, rest = list(found["model"])
    assert first.startswith("line 1: Missing required parameter: 'body.model'")
    assert rest == "… and more."


# -- providers


def answered(name: str, **fields: Any) -> Provider:
    return Provider.objects.create(
        name=name, base_url=f"http://{name}", answered_at=time.time(), **fields
    )


def test_the_default_provider_is_chosen(root: Client) -> None:
    answered("a")
    answered("b", is_default=True)
    assert selected(page(root), "provider") == "b (default)"


def test_without_a_default_one_that_has_answered_is_chosen(
    root: Client, provider: Provider
) -> None:
    Provider.objects.create(name="a", base_url="http://a")
    ended_batch(provider, ["a"])
    Batch.objects.update(active_until=time.time() - 60)
    assert selected(page(root), "provider") == "simulated"
    answered("b")
    assert selected(page(root), "provider") == "b"


def test_of_providers_that_never_answered_none_is_chosen(root: Client) -> None:
    provider_at("http://a.example/v1", "A_API_KEY")
    provider_at("http://b.example/v1", "")
    text = page(root)
    assert selected(text, "provider") == "Choose a provider"
    assert "http://b.example/v1 (no key) (ad hoc, not tried)" in text


def test_the_only_provider_is_chosen(root: Client) -> None:
    Provider.objects.create(name="a", base_url="http://a")
    assert selected(page(root), "provider") == "a (not tried)"


# -- what was set


def open_sections(answer: Any) -> list[str]:
    found = re.findall(r'<details class="tp-card" open><summary><h2>(\w+)', answer.content.decode())
    return [str(one) for one in found]


def test_what_was_set_stays_visible_after_a_preview(root: Client, provider: Provider) -> None:
    given = root.get(reverse(ADD)).context["form"]
    shown = {one.name: one.value() for one in given if one.value() not in (None, False)}
    initial = {**shown, "schedule": "rolling", "endpoint": "/v1/chat/completions"}
    untouched = {**initial, "prompts": "a", "model": MODEL}
    assert open_sections(post(root, provider, "preview", **untouched)) == []
    one = post(root, provider, "preview", **{**untouched, "priority": "5"})
    assert open_sections(one) == ["Options"]
    both = {**untouched, "priority": "5", "schema": '{"type": "object"}'}
    assert open_sections(post(root, provider, "preview", **both)) == ["Answers", "Options"]


def test_sections_that_nothing_was_set_in_are_folded(root: Client, provider: Provider) -> None:
    assert open_sections(root.get(reverse(ADD))) == []
    batch = batch_of(provider, ["a"], priority=5)
    assert open_sections(root.get(f"{reverse(ADD)}?like={batch.pk}")) == ["Options"]


def test_the_form_costs_the_same_for_many_providers(root: Client, provider: Provider) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            page(root)
        counts.append(len(captured))
        for number in range(30):
            answered(f"{len(counts)}-{number}")
    assert counts[0] == counts[1] <= 12
