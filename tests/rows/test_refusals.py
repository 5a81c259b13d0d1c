"""What is wrong is said at once, with its place, and nothing is left behind."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Prefetch
from pydantic import ValidationError
from pytest_django.fixtures import Settings

from batches.errors import NotPossible
from batches.models import Batch, Enrichment, Prompt, Provider, Result
from batches.rows import RowOutcome, enrich, preview
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.library import saving
from tests.library.makers import TEMPLATE, articles, enriched
from tests.library.models import Article, Author, Note
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}}}


def nothing_is_there() -> bool:
    return not any(model.objects.exists() for model in (Batch, Enrichment, Prompt))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ row.boddy }}", "library.article:{}: There is no column 'boddy'. Did you mean 'body'?"),
        ("{{ row.author.nam }}", "library.article:{}: The template cannot be applied"),
        ("{{ row.author.nam }}", "There is no 'nam' in the row or mapping"),
        ("{{ row.secret }}", "is no column 'secret'"),
        ("{{ row.body.upper() }}", "cannot call functions"),
        ("{{ row.delete() }}", "cannot call functions"),
        ("{{ row.save }}", "is no column 'save'"),
        ("{{ row.objects }}", "is no column 'objects'"),
        ("{{ row.tags.clear }}", "There is no item 'clear'"),
        ("{{ row.__class__ }}", "is no column '__class__'"),
        ("{{ row._state.db }}", "is no column '_state'"),
        ("{{ row.author._meta }}", "There is no '_meta'"),
        ("{{ row.author.articles.create }}", "There is no item 'create'"),
        ("{{ row.body", "unexpected end of template"),
        ("Nothing of the row", "names no column"),
        ("{{ row.body }} {% include 'x' %}", "is not available"),
    ],
)
def test_a_template_that_reads_what_is_not_in_the_row(
    provider: Provider, template: str, message: str
) -> None:
    [row] = articles(1)
    with pytest.raises(NotPossible) as refused:
        enriched(provider, template=template)
    assert message.format(row.pk) in str(refused.value)
    assert nothing_is_there()
    row.refresh_from_db()


def test_the_first_rows_with_errors_are_named(provider: Provider) -> None:
    rows = articles(200)
    with pytest.raises(NotPossible) as refused:
        enriched(provider, template="{{ row.boddy }}")
    assert str(refused.value).startswith(f"library.article:{rows[0].pk}: ")
    assert str(refused.value).endswith("and 95 more")
    assert nothing_is_there()


def test_one_wrong_row_refuses_all(provider: Provider) -> None:
    rows = articles(3)
    Article.objects.filter(pk=rows[1].pk).update(author=None)
    with pytest.raises(NotPossible) as refused:
        enriched(provider, template="{{ row.author.name }}")
    assert f"library.article:{rows[1].pk}: " in str(refused.value)
    assert "There is no item 'name' in null" in str(refused.value)
    assert nothing_is_there()


def local() -> Callable[..., object]:
    def save(row: Any, outcome: RowOutcome) -> None:
        del row, outcome

    return save


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"into": "sumary"}, "no such field. Did you mean 'summary'?"),
        ({"into": "id"}, "is the key of the row"),
        ({"into": "tags"}, "is no column of its table"),
        ({"into": {}}, "into is empty"),
        ({"into": {"summary": "text"}}, "give a schema with properties"),
        ({"into": {"summary": "sumary"}, "schema": SCHEMA}, "Did you mean 'summary'?"),
        ({"into": lambda *_: None}, "workers are other processes"),
        ({"into": local()}, "workers are other processes"),
        ({"if_changed": "overwrite"}, "not 'skip' or 'write'"),
        ({"provider": "nowhere"}, "There is no provider 'nowhere'"),
        ({"schema": {"type": "nonsense"}}, "nonsense"),
        ({"max_cost": 1}, "the price of"),
        ({"pilot": {"rows": 1, "by": "topic"}}, "no columns to spread a pilot over"),
    ],
)
def test_an_option_that_cannot_be_followed(
    provider: Provider, options: dict[str, Any], message: str
) -> None:
    articles(1)
    with pytest.raises(NotPossible) as refused:
        enriched(**{"provider": provider, **options})
    assert message in str(refused.value)
    assert nothing_is_there()


def test_an_option_that_no_batch_has(provider: Provider) -> None:
    articles(1)
    with pytest.raises(ValidationError, match="colour"):
        enriched(provider, colour="red")


def test_a_queryset_that_cannot_be_read_in_pages(provider: Provider) -> None:
    articles(3)
    rows = Article.objects.all()
    for queryset, message in {
        rows[:2]: 'filter(pk__in=queryset.values("pk"))',
        rows.union(rows): "cannot be read in pages",
        rows.values(): "has values()",
    }.items():
        with pytest.raises(NotPossible) as refused:
            enriched(provider, queryset=queryset)
        assert message in str(refused.value)
    wrapped = Article.objects.filter(pk__in=rows[:2].values("pk"))
    assert enriched(provider, queryset=wrapped).total == 2


def test_related_rows_that_a_worker_could_not_read_again(provider: Provider) -> None:
    articles(1)
    own = Prefetch("author", Author.objects.filter(name="x"))
    rows = Article.objects.prefetch_related(own)
    assert enriched(provider, queryset=rows).total == 1
    with pytest.raises(NotPossible, match="prefetched with a queryset of its own"):
        enriched(provider, queryset=rows, template="{{ row.author.name }}")


def test_a_row_that_a_join_brings_twice_is_asked_about_once(provider: Provider) -> None:
    for row in articles(3):
        for name in "abc":
            row.tags.create(name=name)
    rows = Article.objects.filter(tags__name__in=["a", "b", "c"])
    assert rows.count() == 9
    assert enriched(provider, queryset=rows).total == 3


class _OtherDatabase:
    """A router that has the library in another database."""

    def db_for_write(self, model: type[Any], **_: object) -> str | None:
        return "other" if model._meta.app_label == "library" else None


def test_rows_in_another_database(provider: Provider, settings: Settings) -> None:
    articles(1)
    settings.DATABASE_ROUTERS = [_OtherDatabase()]
    with pytest.raises(NotPossible, match="cannot be stored together"):
        enrich(Article.objects.all(), template=TEMPLATE, into="summary", model=MODEL)
    settings.DATABASE_ROUTERS = []
    assert nothing_is_there()


def test_rows_that_are_chosen_from_another_database(provider: Provider) -> None:
    articles(1)
    rows = Article.objects.using("archive")
    for ask in (partial(enrich, into="summary"), preview):
        with pytest.raises(NotPossible, match="in the database 'archive'"):
            ask(rows, template=TEMPLATE, model=MODEL)
    assert enriched(provider, queryset=Article.objects.using("default")).total == 1


def test_rows_that_cannot_be_locked(provider: Provider) -> None:
    if connection.vendor != "postgresql":
        # It locks no rows, but the database.
        assert not connection.features.has_select_for_update
        return
    articles(1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE library_note RENAME TO library_note_kept")
        cursor.execute(
            "CREATE VIEW library_note AS SELECT id, min(text) AS text, min(summary) AS summary "
            "FROM library_note_kept GROUP BY id"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO library_note_kept (id, text, summary) VALUES (%s, 'a', '')", [uuid4()]
        )
    with pytest.raises(NotPossible, match="cannot be locked"):
        enriched(provider, queryset=Note.objects.all(), template="{{ row.text }}")
    assert nothing_is_there()


def test_a_worker_without_the_function_pauses_the_batch_before_a_call(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    articles(1)
    batch = enriched(provider, into=saving.save_in_capitals)
    Enrichment.objects.update(save_path="tests.library.saving.gone")
    report = run_slice(batch.pk)
    assert "config: the answers cannot be written into rows" in report.pause_reason
    assert simulator.calls.total() == 0
    batch.refresh_from_db()
    assert batch.pause_kind == "config"


def test_a_preview_calls_and_stores_nothing(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    articles(150)
    provider.prices = {MODEL: {"input": 1, "output": 2}}
    provider.save()
    found = preview(Article.objects.all(), template=TEMPLATE, model=MODEL, provider=provider, n=2)
    asked = [prompt.body["messages"][0]["content"] for prompt in found.prompts]
    assert asked == ["Summarise: body 0", "Summarise: body 1"]
    assert found.rows == found.estimate.prompts == 150
    assert found.estimate.cost
    assert simulator.calls.total() == 0
    assert nothing_is_there()
    assert not Result.objects.exists()
