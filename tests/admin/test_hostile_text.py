"""Whatever people and models write is shown as text, on every page where it is shown at all."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from batches.admin.content_policy import POLICY
from batches.models import Batch, File, Prompt, Provider
from tests.admin.makers import ended_batch

SCRIPT = "<script>alert(1)</script>"
HANDLER = '"><img src=x onerror=alert(1)>'
LINK = "[click](javascript:alert(1))<a href='javascript:alert(1)'>x</a>"
HOSTILE = f"{SCRIPT}{HANDLER}{LINK}"


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """A batch that is hostile wherever it may hold text."""
    batch = ended_batch(
        provider,
        [HOSTILE, HOSTILE, HOSTILE],
        answers={1: HOSTILE, 2: json.dumps({"a": HOSTILE})},
        failed={0: HOSTILE},
    )
    for prompt in Prompt.objects.filter(batch=batch):
        Prompt.objects.filter(pk=prompt.pk).update(custom_id=f"{prompt.index}{HOSTILE}")
    schema = {"type": "object", "properties": {"a": {"type": "integer", "title": HOSTILE}}}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    Batch.objects.filter(pk=batch.pk).update(
        metadata={"description": HOSTILE, HOSTILE: HOSTILE},
        defaults={"model": HOSTILE, "response_format": shape},
        errors=[{"line": 1, "code": "x", "message": HOSTILE, "param": HOSTILE}],
        pause_reason=HOSTILE,
    )
    provider.name, provider.pause_reason = HOSTILE[:100], HOSTILE
    provider.save()
    return batch


def addresses(batch: Batch) -> list[str]:
    results = [reverse("admin:batches_batch_result", args=[batch.pk, n]) for n in range(3)]
    names = ("change", "live", "results")
    return [
        *(reverse(f"admin:batches_batch_{name}", args=[batch.pk]) for name in names),
        *results,
        *(reverse(f"admin:{name}") for name in ("index", "batches_batch_changelist")),
        f"{reverse('admin:batches_batch_compare')}?ids={batch.pk}",
        f"{reverse('admin:batches_batch_results', args=[batch.pk])}?custom_id={HOSTILE}",
        reverse("admin:batches_provider_change", args=[batch.provider_id]),
        reverse("admin:batches_batch_add"),
    ]


def test_pages_escape_what_others_wrote(root: Client, batch: Batch) -> None:
    for status in ("completed", "in_progress"):
        Batch.objects.filter(pk=batch.pk).update(status=status)
        for address in addresses(batch):
            shown = root.get(address).content.decode()
            assert SCRIPT not in shown, address
            assert "<img src=x" not in shown, address
            assert "href='javascript:" not in shown, address
            assert 'href="javascript:' not in shown, address


def test_hostile_text_is_there_to_be_read(root: Client, batch: Batch) -> None:
    result = reverse("admin:batches_batch_result", args=[batch.pk, 1])
    assert "&lt;script&gt;alert(1)" in root.get(result).content.decode()


def test_a_violation_of_the_schema_is_pointed_at(root: Client, batch: Batch) -> None:
    result = reverse("admin:batches_batch_result", args=[batch.pk, 2])
    shown = root.get(result).content.decode()
    assert "does not fit the schema in 1 place" in shown
    assert "<mark>  &quot;a&quot;" in shown


def test_file_names_and_messages_are_text(root: Client) -> None:
    File.objects.create(purpose="batch", filename=HOSTILE, bytes=1)
    shown = root.get(reverse("admin:batches_file_changelist")).content.decode()
    assert SCRIPT not in shown
    refused = root.post(reverse("admin:batches_batch_add"), {"stored": HOSTILE, "model": HOSTILE})
    assert SCRIPT not in refused.content.decode()


def test_pages_of_the_admin_load_nothing_from_elsewhere(root: Client) -> None:
    for address in (reverse("admin:index"), reverse("admin:login")):
        assert root.get(address).headers["Content-Security-Policy"] == POLICY
    assert "unsafe-inline" not in POLICY.partition("script-src")[2].partition(";")[0]
