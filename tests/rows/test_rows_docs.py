"""docs/rows.md is followed as it stands."""

from typing import Any

import pytest

from batches.admin.rows import EnrichMixin
from batches.models import Provider
from tests.library.makers import articles
from tests.library.models import Article
from tests.processes.doc_pages import blocks_of
from tests.runners import ended


@pytest.mark.django_db
def test_the_page(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    rows = articles(3)
    first, preview, records, again, in_admin = blocks_of("rows.md", "python")
    names: dict[str, Any] = {"Article": Article}

    def said(block: str) -> list[str]:
        exec(block, names)  # noqa: S102 - our own page
        return capsys.readouterr().out.splitlines()

    assert said(first) == []
    ended(names["batch"])
    assert all(row.summary and row.topic in Article.TOPICS for row in Article.objects.all())
    prompt = said(preview)
    assert prompt[:3] == ["Summarise in one sentence:", "", "body 0"]
    assert prompt[3].startswith("3 about ")
    assert said(records) == ["written summary=summary, topic=topic simulated-small "]
    assert said(again) == ["nothing to ask"]
    Article.objects.filter(pk=rows[0].pk).update(body="another")
    assert said(again) == ["1"]
    assert said(in_admin) == []
    assert issubclass(names["ArticleAdmin"], EnrichMixin)
