"""Each wrong argument is refused at once, in words that say what is wanted."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User

from batches.errors import NotPossible
from batches.models import Batch, Provider
from batches.rows import enrich, preview
from tests.library.makers import TEMPLATE, articles
from tests.library.models import Article
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

WRONG: dict[str, list[Any]] = {
    "queryset": [None, [], [1], "Article", 5, Article, {}],
    "template": [None, 5, [], ["x"], [None], {"role": "user"}, [{"content": "{{ row.body }}"}]],
    "into": [
        5,
        ["summary"],
        ("summary",),
        {"summary": None},
        {"summary": 3},
        {3: "*"},
        Article,
        "",
    ],
    "schema": ["x", int, 5, [{}], Article],
    "model": [5, ["m"], b"m", Article],
    "provider": [5, "nowhere", Provider(name="unsaved"), ["p"]],
    "endpoint": ["/v1/embeddings", "/v1/images/generations"],
}
OF_ENRICH: dict[str, list[Any]] = {
    "owner": ["boss", 5, AnonymousUser(), User(username="unsaved")],
    "if_changed": [None, True, "overwrite"],
    "into": [None],
}
OF_PREVIEW: dict[str, list[Any]] = {"n": [-1, None, "3", 1.5], "only_changed": [True]}


def pairs(*tables: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={value!r}"[:50])
        for table in tables
        for name, values in table.items()
        for value in values
    ]


def arguments(simulated: Provider, **changes: Any) -> tuple[Any, dict[str, Any]]:
    given = {"template": TEMPLATE, "model": MODEL, "provider": simulated, **changes}
    return given.pop("queryset", Article.objects.all()), given


@pytest.mark.parametrize(("name", "value"), pairs(WRONG, OF_ENRICH))
def test_enrich_refuses_it(provider: Provider, name: str, value: Any) -> None:
    articles(1)
    queryset, given = arguments(provider, **{"into": "summary", name: value})
    with pytest.raises(NotPossible):
        enrich(queryset, **given)
    assert not Batch.objects.exists()


@pytest.mark.parametrize(("name", "value"), pairs(WRONG, OF_PREVIEW))
def test_preview_refuses_it(provider: Provider, name: str, value: Any) -> None:
    articles(1)
    queryset, given = arguments(provider, **{name: value})
    with pytest.raises(NotPossible):
        preview(queryset, **given)


def test_a_manager_stands_for_all_rows(provider: Provider) -> None:
    articles(2)
    queryset, given = arguments(provider, queryset=Article.objects)
    assert preview(queryset, **given).rows == 2
    batch = enrich(queryset, into="summary", **given)
    assert batch
    assert batch.total == 2


def test_a_preview_counts_the_rows_that_would_be_asked_about(provider: Provider) -> None:
    for row in articles(3):
        for name in "ab":
            row.tags.create(name=name)
    queryset, given = arguments(
        provider, queryset=Article.objects.filter(tags__name__in=["a", "b"])
    )
    assert preview(queryset, **given).rows == 3
    found = preview(queryset, into="summary", only_changed=True, n=1, **given)
    assert (found.rows, len(found.prompts)) == (3, 1)
