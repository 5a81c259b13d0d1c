"""Rows in the admin of their own model: asked about by an action, with the answers beside them."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django.fixtures import Settings

from batches.models import Batch, Provider
from simulator import SimulatedProvider
from tests.library import stock_settings
from tests.library.makers import articles
from tests.library.models import Article
from tests.makers import MODEL
from tests.runners import ended

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.library.urls")]

LIST = "/library/library/article/"


@pytest.fixture(autouse=True)
def _stock_pages(settings: Settings) -> None:
    settings.TEMPLATES = stock_settings.TEMPLATES


def visitor(*permissions: str) -> Client:
    """Return a client of staff with these permissions."""
    user = get_user_model().objects.create(username="staff", is_staff=True)
    for name in permissions:
        label, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=label, codename=codename)
        )
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    return visitor("library.change_article", "batches.add_batch", "library.view_author")


def post(client: Client, rows: list[Article], **values: Any) -> Any:
    data = {"action": "enrich_rows", "_selected_action": [str(row.pk) for row in rows]}
    return client.post(LIST, {**data, **values})


def filled(provider: Provider, **changes: Any) -> dict[str, Any]:
    return {
        "template": "By {{ row.author.name }}: {{ row.body }}",
        "fields_to_write": ["summary"],
        "model": MODEL,
        "provider": provider.pk,
        "if_changed": "skip",
        **changes,
    }


def test_the_form_and_the_preview_of_three_rows(
    client: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    rows = articles(5)
    page = post(client, rows, index="0")
    assert "5 articles are chosen" in page.content.decode()
    page = post(client, rows, enrich_step="preview", **filled(provider)).content.decode()
    assert [f"By author {n}: body {n}" in page for n in range(5)] == [True] * 3 + [False] * 2
    assert "input and about" in page
    assert not Batch.objects.exists()
    assert simulator.calls.total() == 0


def test_the_answers_are_written_and_shown_beside_the_row(
    client: Client, provider: Provider
) -> None:
    rows = articles(5)
    assert post(client, rows[:2], enrich_step="start", **filled(provider)).status_code == 302
    batch = ended(Batch.objects.get())
    assert batch.owner == get_user_model().objects.get()
    summaries = Article.objects.order_by("pk").values_list("summary", flat=True)
    assert [bool(text) for text in summaries] == [True, True, False, False, False]
    page = client.get(f"{LIST}{rows[0].pk}/change/").content.decode()
    assert batch.public_id in page
    assert "<td>written" in page
    assert "No model has been asked" in client.get(f"{LIST}{rows[4].pk}/change/").content.decode()
    assert client.get(f"{LIST}add/").status_code in (200, 403)


def test_all_rows_of_a_filter_and_several_fields(client: Client, provider: Provider) -> None:
    rows = articles(4)
    Article.objects.filter(pk=rows[0].pk).update(topic="news")
    values = filled(provider, fields_to_write=["topic", "views", "facts"])
    data = {"action": "enrich_rows", "_selected_action": [rows[0].pk], "select_across": "1"}
    client.post(f"{LIST}?topic__exact=", {**data, "enrich_step": "start", **values})
    batch = ended(Batch.objects.get())
    assert batch.total == 3
    topics = Article.objects.order_by("pk").values_list("topic", flat=True)
    assert all(topic in Article.TOPICS for topic in topics)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "{{ row.nothing }}"}, "There is no column &#x27;nothing&#x27;"),
        ({"template": "{{ row.delete() }}"}, "A template cannot call functions"),
        ({"template": "{{ row.tags | length }}"}, "row.tags, which may be many rows"),
        ({"fields_to_write": ["id"]}, "is not one of the available choices"),
        ({"fields_to_write": ["tags"]}, "is not one of the available choices"),
        ({"fields_to_write": []}, "This field is required"),
        ({"max_cost": "1"}, "the price of"),
    ],
)
def test_what_cannot_be_asked(
    client: Client, provider: Provider, changes: dict[str, Any], message: str
) -> None:
    rows = articles(1)
    page = post(client, rows, enrich_step="start", **filled(provider, **changes))
    assert message in page.content.decode()
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    "permissions",
    [("library.change_article",), ("library.view_article", "batches.add_batch")],
)
def test_who_may_not_add_batches_or_change_rows_has_no_action(
    provider: Provider, permissions: tuple[str, ...]
) -> None:
    rows = articles(1)
    visit = visitor(*permissions)
    assert "enrich_rows" not in visit.get(LIST).content.decode()
    post(visit, rows, enrich_step="start", **filled(provider))
    assert not Batch.objects.exists()
