"""A batch has a name, which is shown, can be changed, and finds it."""

import json
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from batches.actions.batches import Origin, create_batch_of_file
from batches.engine.prepare import with_system_prompt
from batches.models import Batch, File, Provider
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch
from tests.configuring import configure
from tests.makers import batch_of, options

SHOWN_FIELDS = (
    *("parameters", "schema", "system", "model", "name", "batch_size"),
    "completion_hours",
)


def page(batch: Batch, name: str = "change") -> str:
    return reverse(f"admin:batches_batch_{name}", args=[batch.pk])


def of_file(provider: Provider, content: str, filename: str, **changes: Any) -> Batch:
    """A batch that a worker reads from a file."""
    file = File.objects.create(purpose="batch", filename=filename, bytes=len(content))
    file.content.save("x", ContentFile(content.encode()))
    format_ = changes.pop("input_format", "text")
    template = changes.pop("template", None)
    return create_batch_of_file(
        provider,
        file,
        file.public_id,
        options(**changes),
        origin=Origin(),
        input_format=format_,
        template=template,
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "why.txt"),
        ({"metadata": {"description": "nightly"}}, "nightly"),
        ({"metadata": {"description": "nightly"}, "name": "mine"}, "mine"),
        ({"name": "two\nlines\0 and \u202e" + 300 * "x"}, ("two lines and " + 300 * "x")[:255]),
    ],
)
def test_a_batch_is_named_after_its_file_unless_somebody_says_otherwise(
    provider: Provider, given: dict[str, Any], name: str
) -> None:
    assert of_file(provider, "Why?", "why.txt", **given).name == name


def test_a_batch_without_a_name_goes_by_its_id(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    assert (batch.name, batch.title) == ("", batch.public_id)
    assert f'<h1 class="tp-title">{batch.public_id}</h1>' in root.get(page(batch)).content.decode()


def test_a_batch_is_renamed_and_found_by_its_name(root: Client, provider: Provider) -> None:
    batch, other = batch_of(provider, ["a"]), batch_of(provider, ["a"])
    answer = root.post(page(batch, "rename"), {"name": "  Letters\tof May "}, follow=True)
    assert '<h1 class="tp-title">Letters of May</h1>' in answer.content.decode()
    assert f'data-copy="{batch.public_id}"' in answer.content.decode()
    changelist = reverse("admin:batches_batch_changelist")
    assert list(root.get(changelist, {"q": "OF may"}).context["cl"].result_list) == [batch]
    assert set(root.get(changelist, {"q": ""}).context["cl"].result_list) == {batch, other}
    root.post(page(batch, "rename"))
    batch.refresh_from_db()
    assert batch.name == ""


def test_descriptions_of_old_batches_become_their_names(provider: Provider) -> None:
    described, plain = batch_of(provider, ["a"]), batch_of(provider, ["a"])
    Batch.objects.filter(pk=described.pk).update(metadata={"description": 300 * "d"})
    Batch.objects.filter(pk=plain.pk).update(metadata={"project": "x"}, name="stays")
    import_module("batches.migrations.0020_batch_name").name_described(apps, None)
    names = dict(Batch.objects.values_list("pk", "name"))
    assert names == {described.pk: 255 * "d", plain.pk: "stays"}


# -- again with changes


def form_like(client: Client, batch: Batch) -> Any:
    answer = client.post(page(batch, "again"), follow=True)
    assert answer.status_code == 200
    return answer.context["form"]


def test_the_form_is_filled_in_from_a_batch(root: Client, provider: Provider) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    batch = of_file(
        provider,
        "prompt,custom_id\nWhy?,one\n",
        "why.csv",
        input_format="csv",
        defaults=with_system_prompt(
            {"model": "m", "temperature": 0.5, "response_format": shape},
            "Be brief.",
            endpoint="/v1/chat/completions",
        ),
        batch_size=7,
        completion_window=timedelta(hours=36),
    )
    Batch.objects.filter(pk=batch.pk).update(total=1)
    form = form_like(root, batch)
    assert {name: form.initial[name] for name in SHOWN_FIELDS} == {
        "parameters": {"temperature": 0.5},
        "schema": {"name": "x", "schema": schema},
        "system": "Be brief.",
        "model": "m",
        "name": "why.csv",
        "batch_size": 7,
        "completion_hours": 36,
    }
    assert form.initial["format"] == "csv"
    assert form.kept.filename == "why.csv"
    fields = {name: form[name].value() for name in form.fields}
    sent = {
        **{name: value for name, value in fields.items() if value not in (None, "")},
        "parameters": json.dumps({"temperature": 0.9}),
        "schema": json.dumps(form.initial["schema"]),
        "stored": form.kept.public_id,
        "once": "again",
        "_start": "1",
    }
    answer = root.post(reverse("admin:batches_batch_add"), sent)
    assert answer.status_code == 302, answer.context["form"].errors
    made = Batch.objects.exclude(pk=batch.pk).get()
    assert made.defaults == {**batch.defaults, "temperature": 0.9}
    assert made.input_file != batch.input_file
    assert made.input_file is not None
    with made.input_file.content.open("rb") as content:
        assert content.read() == b"prompt,custom_id\nWhy?,one\n"


def test_prompts_without_a_file_come_from_their_rows(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["Why?", "What \u2028?"])
    kept = form_like(root, batch).kept
    with kept.content.open("rb") as content:
        lines = [json.loads(line) for line in content.read().splitlines()]
    assert [line["custom_id"] for line in lines] == ["line-1", "line-2"]
    assert lines[1]["body"]["messages"][0]["content"] == "What \u2028?"
    assert kept.expires_at is not None


def test_pasted_prompts_are_pasted_again(root: Client, provider: Provider) -> None:
    batch = of_file(provider, "Why?\nWhat?", "pasted.txt")
    Batch.objects.filter(pk=batch.pk).update(total=2)
    form = form_like(root, batch)
    assert (form["prompts"].value(), form.kept) == ("Why?\nWhat?", None)


def test_running_again_needs_who_may_read_and_add(login: Login, provider: Provider) -> None:
    batch = ended_batch(provider, ["secret"])
    for permissions in (("view_batch", "add_batch"), ("view_batch", "view_result")):
        assert login(*permissions).post(page(batch, "again")).status_code == 403
    form = f"{reverse('admin:batches_batch_add')}?like={batch.pk}"
    assert login("view_batch", "add_batch").get(form).status_code == 403
    other = login("view_batch", "view_result", "add_batch")
    kept = form_like(login("view_batch", "view_result", "add_batch"), batch).kept
    assert other.get(f"{form}&stored={kept.public_id}").context["form"].kept is None


def test_a_batch_that_is_none_fills_in_no_form(root: Client, provider: Provider) -> None:
    for like in ("x", "9" * 18):
        assert root.get(reverse("admin:batches_batch_add"), {"like": like}).status_code == 404


def test_a_lost_file_is_said(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["Why?"])
    lost = File.objects.create(purpose="batch", filename="lost.txt", content="not/there", bytes=4)
    Batch.objects.filter(pk=batch.pk).update(input_file=lost)
    answer = root.post(page(batch, "again"), follow=True)
    assert "no prompts that could be run again" in answer.content.decode()


@pytest.mark.parametrize("has_file", [True, False])
def test_more_than_a_form_can_take_is_refused(
    root: Client, provider: Provider, settings: Any, *, has_file: bool
) -> None:
    configure(settings, MAX_FILE_BYTES=20)
    batch = ended_batch(provider, ["Why?"])
    if has_file:
        file = File.objects.create(purpose="batch", filename="large.txt", bytes=21)
        Batch.objects.filter(pk=batch.pk).update(input_file=file)
    shown = root.post(page(batch, "again"), follow=True).content.decode()
    assert "The prompts have more than 20 bytes (MAX_FILE_BYTES)." in shown
    assert not File.objects.filter(purpose="user_data").exists()
