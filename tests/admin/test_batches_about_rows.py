"""The pages of a batch about rows say what became of its answers, and do not copy its prompts."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.actions.options import Pilot
from batches.admin.batches.creation.input_form import KEPT
from batches.management.bulk.next_steps import NextCommands, how_to_continue
from batches.models import Answer, Batch, File, Provider
from batches.runner.run import run_slice
from tests.admin.conftest import Login
from tests.library.makers import articles, enriched
from tests.library.models import Article
from tests.makers import batch_of
from tests.runners import ended

REMEDY = "call enrich again"


def page_of(client: Client, batch: Batch) -> str:
    return client.get(reverse("admin:batches_batch_change", args=[batch.pk])).content.decode()


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """A batch with an answer in each state."""
    rows = articles(5)
    made: Batch = enriched(provider)
    Article.objects.filter(pk=rows[0].pk).update(body="changed")
    Article.objects.filter(pk=rows[1].pk).delete()
    ended(made)
    left = Answer.objects.order_by("pk").filter(state="written")
    for state, answer in zip(("invalid", "failed"), left, strict=False):
        Answer.objects.filter(pk=answer.pk).update(state=state)
    return made


def test_the_page_counts_the_answers_by_state(root: Client, batch: Batch) -> None:
    shown = page_of(root, batch)
    assert "Answers in rows of library.Article" in shown
    for state in ("written", "changed", "gone", "invalid", "failed"):
        assert Answer.objects.for_batch(batch).filter(state=state).count() == 1
        assert f'state={state}">{state}</a></strong> 1 ' in shown


def test_the_counts_lead_to_the_answers(root: Client, login: Login, batch: Batch) -> None:
    address = reverse("admin:batches_answer_changelist")
    shown = root.get(address, {"batch_public_id": batch.public_id, "state": "gone"})
    [gone] = Answer.objects.filter(state="gone")
    assert list(shown.context["cl"].queryset) == [gone]
    one = root.get(reverse("admin:batches_answer_change", args=[gone.pk])).content.decode()
    assert batch.public_id in one
    others = login("view_batch")
    assert address not in page_of(others, batch)
    assert others.get(address).status_code == 403


def test_another_batch_has_no_such_counts(root: Client, provider: Provider) -> None:
    assert "Answers in rows" not in page_of(root, batch_of(provider, ["a"]))


def test_a_page_counts_what_was_not_written_by_an_index(root: Client, batch: Batch) -> None:
    with CaptureQueriesContext(connection) as captured:
        page_of(root, batch)
    [counting] = [query["sql"] for query in captured if "batches_answer" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' * (connection.vendor == 'sqlite')}{counting}")
        plan = str(cursor.fetchall())
    assert connection.vendor != "sqlite" or "COVERING INDEX answer_of_batch" in plan


def again(client: Client, batch: Batch, **data: Any) -> str:
    """Ask for the form of a new batch like this one; return the messages on the way."""
    answer = client.post(reverse("admin:batches_batch_again", args=[batch.pk]), data)
    assert answer["Location"] == reverse("admin:batches_batch_change", args=[batch.pk])
    return " ".join(map(str, get_messages(answer.wsgi_request)))


def test_it_is_not_run_again_as_another_batch(root: Client, batch: Batch) -> None:
    assert 'id="again"' not in page_of(root, batch)
    for data in ({}, {"instead": "1"}, {"reuse": "owner"}, {"rows": str(batch.pk)}):
        assert REMEDY in again(root, batch, **data)
    assert not File.objects.filter(purpose=KEPT).exists()


def test_the_comparison_offers_no_other_batch_of_its_rows(root: Client, provider: Provider) -> None:
    articles(3)
    pair = [ended(enriched(provider)) for _ in range(2)]
    ids = ",".join(str(one.pk) for one in pair)
    shown = root.get(reverse("admin:batches_batch_answers"), {"ids": ids})
    assert "for the rest" not in shown.content.decode()


def test_after_a_pilot_nothing_says_to_copy_its_prompts(root: Client, provider: Provider) -> None:
    articles(4)
    waiting: Batch = enriched(provider, pilot=Pilot(rows=2))
    run_slice(waiting.pk)
    waiting.refresh_from_db()
    assert waiting.pause_kind == "pilot"
    shown = page_of(root, waiting)
    assert "Go on with the other 2" in shown
    assert "run another pilot" not in shown
    said = how_to_continue(waiting, NextCommands(waiting.public_id, ()))
    assert REMEDY in said
    assert "--since" not in said
    root.post(reverse("admin:batches_batch_resume", args=[waiting.pk]))
    ended(waiting)
    assert Article.objects.exclude(summary="").count() == 4


def test_a_retry_from_the_page_writes_the_rows(root: Client, provider: Provider) -> None:
    articles(1, body="[simulate: status=400 times=1]")
    batch = ended(enriched(provider))
    assert batch.failed == 1
    root.post(reverse("admin:batches_batch_retry", args=[batch.pk]), {"only": "failed"})
    ended(batch)
    assert Article.objects.get().summary
