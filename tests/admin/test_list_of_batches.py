"""The list of batches says in words how each is, finds it, and acts on several at once."""

import io
import json
import zipfile
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.utils import timezone

from batches.admin.batches.bulk import MOST_CHOSEN
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, Provider, Slot
from tests.admin.conftest import Login
from tests.admin.hostile import HOSTILE
from tests.admin.makers import ended_batch
from tests.admin.test_hostile_text import assert_is_text
from tests.makers import batch_of

CHANGELIST = "/admin/batches/batch/"


def listed(client: Client, **query: str) -> list[Batch]:
    return list(client.get(CHANGELIST, query).context["cl"].result_list)


def run(client: Client, action: str, *batches: Batch, **more: str) -> Any:
    chosen = {"action": action, "_selected_action": [batch.pk for batch in batches], **more}
    return client.post(CHANGELIST, chosen, follow=True)


@pytest.mark.parametrize(
    ("columns", "word", "said"),
    [
        ({}, "waiting", "Waiting for a worker"),
        ({"in_background": False}, "stopped", "Stopped"),
        (
            {"pause_kind": PauseKind.BUDGET, "pause_reason": "spending limit of $1 reached"},
            "paused",
            "Paused: budget",
        ),
        ({"pause_kind": PauseKind.STAFF, "pause_reason": "x"}, "paused", "Paused: by staff"),
        ({"pause_reason": "of old"}, "paused", "Paused"),
        ({"status": BatchStatus.CANCELLED}, "cancelled", "Cancelled"),
        ({"status": BatchStatus.VALIDATING}, "validating", "Validating"),
    ],
)
def test_the_list_says_in_words_how_a_batch_is_and_filters_by_it(
    root: Client, provider: Provider, columns: dict[str, Any], word: str, said: str
) -> None:
    batch = batch_of(provider, ["a"])
    other = ended_batch(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(**columns)
    page = root.get(CHANGELIST, {"state": word})
    assert f">{said}</span>" in page.content.decode()
    assert list(page.context["cl"].result_list) == [batch]
    assert listed(root, state="completed") == [other]
    assert f">{said}</span>" in root.get(f"{CHANGELIST}{batch.pk}/change/").content.decode()


def test_a_batch_that_runs_is_said_to(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    Slot.objects.filter(batch=batch).update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    assert ">Running</span>" in root.get(CHANGELIST).content.decode()
    assert listed(root, state="running") == [batch]


def test_the_list_filters_by_provider_owner_and_time(root: Client, provider: Provider) -> None:
    batch, other = batch_of(provider, ["a"]), batch_of(provider, ["a"])
    another = Provider.objects.create(name="another", base_url="http://127.0.0.1:9/v1")
    Batch.objects.filter(pk=other.pk).update(
        provider=another, created_at=timezone.now() - timedelta(days=9)
    )
    since = (timezone.now() - timedelta(days=1)).isoformat(sep=" ")
    assert listed(root, provider__id__exact=str(another.pk)) == [other]
    assert listed(root, created_at__gte=since) == [batch]


def test_the_columns_of_the_list(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b"])
    Batch.objects.filter(pk=batch.pk).update(name="Letters", cost=Decimal("1.5"))
    page = root.get(CHANGELIST).content.decode()
    for text in ("Letters", "simulated-small", "simulated", "2 of 2", "1.0/s", "$1.50"):
        assert text in page, text
    assert f'data-copy="{batch.public_id}"' in page
    assert 'hx-target="#result_list"' in page


def test_an_empty_list_is_not_refreshed(root: Client, provider: Provider) -> None:
    assert "live-list" not in root.get(CHANGELIST).content.decode()


# -- several at once


def test_several_are_paused_and_resumed(root: Client, provider: Provider) -> None:
    running = [batch_of(provider, ["a"]) for _ in range(2)]
    ended = ended_batch(provider, ["a"])
    shown = run(root, "pause", *running, ended).content.decode()
    assert "Paused: 2 batches." in shown
    assert f"{ended.public_id}: Cannot pause a batch with status" in shown
    assert set(Batch.objects.exclude(pause_reason="")) == set(running)
    assert "Resumed: 1 batch." in run(root, "resume", running[0]).content.decode()
    assert list(Batch.objects.waiting()) == [running[0]]


def test_several_are_cancelled_after_a_question(root: Client, provider: Provider) -> None:
    running = [batch_of(provider, ["a", "b"]) for _ in range(2)]
    ended = ended_batch(provider, ["a"])
    question = run(root, "cancel", *running, ended).content.decode()
    assert "Cancel 3 batches?" in question
    assert question.count("2 prompts not sent") == 2
    # Names may be the same.
    assert question.count('<code class="tp-small">batch_') == 3
    assert "is completed: stays as it is" in question
    assert not Batch.objects.filter(status=BatchStatus.CANCELLED).exists()
    shown = run(root, "cancel", *running, confirmed="1").content.decode()
    assert "Cancelled: 2 batches." in shown
    assert Batch.objects.filter(status=BatchStatus.CANCELLED).count() == 2


def test_several_are_retried_after_their_cost_is_told(root: Client, provider: Provider) -> None:
    failed = ended_batch(provider, ["a", "b", "c"], failed={1: "x"})
    Batch.objects.filter(pk=failed.pk).update(cost=Decimal(1))
    fine = ended_batch(provider, ["a"])
    question = run(root, "retry", failed, fine).content.decode()
    assert "1 prompt, about $0.5000" in question
    assert "has nothing to retry: stays as it is" in question
    shown = run(root, "retry", failed, fine, confirmed="1").content.decode()
    assert "Retry started: 1 batch." in shown
    assert "no prompt of this batch has failed" in shown
    failed.refresh_from_db()
    assert failed.status == BatchStatus.IN_PROGRESS


def test_several_are_exported_as_files_of_an_archive(root: Client, provider: Provider) -> None:
    batches = [
        ended_batch(provider, ["a", "b"], answers={0: "=1+1"}, failed={1: "x"}) for _ in range(2)
    ]

    def exported(kind: str) -> list[bytes]:
        chosen = {"action": f"export_{kind}", "_selected_action": [one.pk for one in batches]}
        answer = root.post(CHANGELIST, chosen)
        assert "attachment" in answer.headers["Content-Disposition"]
        with zipfile.ZipFile(io.BytesIO(answer.getvalue())) as archive:
            names = [f"{batch.public_id}.{kind}" for batch in batches]
            assert archive.namelist() == names
            return [archive.read(name) for name in names]

    lines = [file.splitlines() for file in exported("jsonl")]
    assert list(map(len, lines)) == [2, 2]
    assert json.loads(lines[0][0])["custom_id"] == "line-1"
    tables = [file.splitlines() for file in exported("csv")]
    assert list(map(len, tables)) == [3, 3]
    assert all(b",'=1+1," in table[1] for table in tables)
    for file in exported("parquet"):
        assert pq.read_table(io.BytesIO(file))["custom_id"].to_pylist() == ["line-1", "line-2"]


def test_more_than_a_page_is_refused(root: Client, provider: Provider) -> None:
    batches = Batch.objects.bulk_create(
        Batch(provider=provider, endpoint="/v1/chat/completions") for _ in range(MOST_CHOSEN + 1)
    )
    for action in ("pause", "cancel", "export_jsonl"):
        shown = run(root, action, *batches).content.decode()
        assert f"Choose up to {MOST_CHOSEN} batches." in shown
    assert not Batch.objects.exclude(pause_reason="").exists()


def test_names_are_text_in_questions_and_messages(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(name=HOSTILE[:255])
    for more in ({}, {"confirmed": "1"}):
        shown = run(root, "retry", batch, **more).content.decode()
        assert "&lt;script&gt;hacked=1" in shown
        assert_is_text(shown, "retry")


def test_acting_on_several_needs_the_permission(login: Login, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    viewer = login("view_batch")
    for action in ("pause", "cancel", "retry", "export_jsonl", "export_csv", "export_parquet"):
        run(viewer, action, batch, confirmed="1")
    batch.refresh_from_db()
    assert (batch.status, batch.pause_reason) == (BatchStatus.IN_PROGRESS, "")
    run(login("view_batch", "change_batch"), "cancel", batch, confirmed="1")
    batch.refresh_from_db()
    assert batch.status == BatchStatus.CANCELLED
