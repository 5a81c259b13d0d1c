"""The head of a batch says what it is, how it came so far, and what can be done next."""

import re
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batches.admin.batches.timeline import timeline_of
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, File, Provider, Result
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch, fill
from tests.makers import batch_of


def page(batch: Batch, name: str = "change") -> str:
    return reverse(f"admin:batches_batch_{name}", args=[batch.pk])


def shown(client: Client, batch: Batch, name: str = "change") -> str:
    return client.get(page(batch, name)).content.decode()


def partly_run(provider: Provider) -> Batch:
    """A cancelled batch with one answer, one failure and two prompts that never ran."""
    batch = ended_batch(provider, ["a", "b", "c", "d"], failed={1: "x", 2: "x", 3: "x"})
    Result.objects.filter(batch=batch, index__gte=2).update(kind="cancelled")
    Batch.objects.filter(pk=batch.pk).update(
        status=BatchStatus.CANCELLED, failed=1, cost=Decimal("0.5"), cancelled_at=timezone.now()
    )
    batch.refresh_from_db()
    return batch


def test_the_head_says_what_a_batch_is(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b"], failed={1: "x"})
    file = File.objects.create(purpose="batch", filename="why.csv", bytes=1)
    Batch.objects.filter(pk=batch.pk).update(name="Letters", input_file=file)
    batch.refresh_from_db()
    head = shown(root, batch).partition('id="state"')[2].partition("tp-timeline")[0]
    assert batch.output_file is not None
    assert batch.error_file is not None
    for text in (
        *("simulated-small", "simulated", "/v1/chat/completions", "why.csv", file.public_id),
        *(batch.output_file.public_id, batch.error_file.public_id),
    ):
        assert text in head, text
    assert reverse("admin:batches_file_change", args=[file.pk]) in head


def test_links_of_the_head_are_for_who_may_follow_them(login: Login, provider: Provider) -> None:
    batch = ended_batch(provider, ["a"])
    head = shown(login("view_batch"), batch)
    assert reverse("admin:batches_provider_change", args=[provider.pk]) not in head
    assert "Rename" not in head
    assert "Run again with changes" not in head


def test_the_timeline_has_states_and_what_staff_did(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    root.post(page(batch, "pause"))
    root.post(page(batch, "resume"))
    root.post(page(batch, "cancel"))
    batch.refresh_from_db()
    steps = timeline_of(batch)
    user = User.objects.get().username
    assert [(step.label, step.by) for step in steps if step.by] == [
        ("Batch paused", user),
        ("Batch resumed", user),
        ("Batch cancelled", user),
    ]
    assert {step.label for step in steps if not step.by} == {
        *("Created", "Started", "Cancelling", "Cancelled")
    }
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    timeline = shown(root, batch, "live").partition("tp-timeline")[2].partition("</ol>")[0]
    assert timeline.count("<li>") == len(steps)
    assert timeline.count(" UTC</time>") == len(steps)


def test_a_batch_is_paused_and_resumed(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    assert 'id="pause"' in shown(root, batch)
    paused = root.post(page(batch, "pause"), follow=True).content.decode()
    assert ">Paused: by staff</span>" in paused
    assert 'id="pause"' not in paused
    assert 'id="resume"' in paused
    batch.refresh_from_db()
    assert batch.pause_kind == PauseKind.STAFF
    root.post(page(batch, "resume"))
    assert list(Batch.objects.waiting()) == [batch]


@pytest.mark.parametrize(
    ("only", "left", "failed"), [("failed", [0, 2, 3], 0), ("rest", [0, 1], 1)]
)
def test_what_failed_and_what_never_ran_have_a_button_each(
    root: Client, provider: Provider, only: str, left: list[int], failed: int
) -> None:
    batch = partly_run(provider)
    head = shown(root, batch)
    buttons = re.findall(r"<button[^>]*>([^<]+)</button>", head)
    assert "Retry 1 failed (about $0.5000)" in buttons
    assert "Run the other 2 (about $1.00)" in buttons
    root.post(page(batch, "retry"), {"only": only})
    batch.refresh_from_db()
    assert (batch.status, batch.failed) == (BatchStatus.IN_PROGRESS, failed)
    rows = Result.objects.filter(batch=batch).order_by("index")
    assert list(rows.values_list("index", flat=True)) == left


def test_only_prompts_of_a_known_button_are_retried(root: Client, provider: Provider) -> None:
    batch = partly_run(provider)
    assert root.post(page(batch, "retry"), {"only": "nonsense"}).status_code == 404


def test_the_history_names_what_was_retried(root: Client, provider: Provider) -> None:
    batch = partly_run(provider)
    root.post(page(batch, "retry"), {"only": "rest"})
    assert "Retry started for prompts that never ran" in [s.label for s in timeline_of(batch)]


def test_tiles_and_charts_agree_and_a_sample_says_so(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a"])
    fill(batch, 3001)
    Batch.objects.filter(pk=batch.pk).update(status=BatchStatus.IN_PROGRESS)
    context = root.get(page(batch)).context
    timing, charts = context["page"].timing, context["page"].charts
    assert charts[0].summary.startswith("3,001 in ")
    assert charts[1].summary == "p50 250 ms, p95 250 ms, p99 250 ms"
    assert (timing.p50_s, context["page"].sampled) == (0.25, 1501)
    text = shown(root, batch)
    assert "p50 · p95 · p99 of a sample" in text
    assert "Drawn from an even sample of 1,501 results. Counts are of all results." in text
