"""Rows in, rows out: each row has its answer, once, and nothing else in it has changed."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from pydantic import BaseModel

from batches.actions.batches import cancel_batch, delete_batch, resume_batch, retry_batch
from batches.models import Answer, Batch, Enrichment, Prompt, Provider
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from simulator.answers import answer_text
from tests.checker import check_batch
from tests.library import saving
from tests.library.makers import articles, enriched
from tests.library.models import Article, Note, Story, Tag
from tests.makers import MODEL
from tests.runners import ended

pytestmark = pytest.mark.django_db


class ArticleFacts(BaseModel):
    summary: str
    views: int


def always(value: object) -> dict[str, Any]:
    """Return a schema that only the answer {"value": value} fits."""
    properties = {"value": {"const": value}}
    return {"type": "object", "properties": properties, "required": ["value"]}


def states(batch: Batch) -> list[str]:
    return list(Answer.objects.for_batch(batch).values_list("state", flat=True))


def summaries() -> list[str]:
    return list(Article.objects.order_by("pk").values_list("summary", flat=True))


def columns_besides(*names: str) -> list[dict[str, Any]]:
    """Return all columns of all articles but these."""
    rows = Article.objects.order_by("pk").values()
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def test_each_row_gets_its_answer_and_keeps_its_other_columns(provider: Provider) -> None:
    articles(30)
    before = columns_besides("summary")
    batch = ended(enriched(provider, batch_size=7))
    check_batch(batch)
    assert summaries() == [answer_text(0, f"Summarise: body {n}") for n in range(30)]
    assert columns_besides("summary") == before
    assert states(batch) == ["written"] * 30


def test_provenance_says_what_wrote_which_field_of_which_row(provider: Provider) -> None:
    first, second = articles(2)
    batch = ended(enriched(provider))
    [answer] = Answer.objects.for_row(first)
    prompt = Prompt.objects.get(batch=batch, custom_id=f"library.article:{first.pk}")
    assert (answer.batch_public_id, answer.prompt_id) == (batch.public_id, prompt.pk)
    assert (answer.model, answer.fields, answer.state) == (MODEL, "summary", "written")
    assert answer.template_digest == Enrichment.objects.get(batch=batch).digest
    assert answer.digest != Answer.objects.for_row(second).get().digest


def test_fields_of_an_answer_that_fits_a_schema_become_fields_of_the_row(
    provider: Provider,
) -> None:
    articles(3)
    into = {"summary": "summary", "views": "views", "facts": "*"}
    batch = ended(enriched(provider, schema=ArticleFacts, into=into))
    assert states(batch) == ["written"] * 3
    for row in Article.objects.all():
        assert ArticleFacts.model_validate(row.facts) == ArticleFacts(
            summary=row.summary, views=row.views
        )


def test_a_function_saves_the_answer(provider: Provider) -> None:
    [row] = articles(1)
    ended(enriched(provider, into=saving.save_in_capitals))
    row.refresh_from_db()
    assert row.summary == answer_text(0, "Summarise: body 0").upper()
    assert Answer.objects.for_row(row).get().fields == "tests.library.saving.save_in_capitals"


def test_what_a_function_did_before_it_failed_is_undone_for_its_row_alone(
    provider: Provider,
) -> None:
    articles(3)
    batch = ended(enriched(provider, into=saving.save_and_fail))
    check_batch(batch)
    assert states(batch) == ["written", "written", "failed"]
    assert [bool(summary) for summary in summaries()] == [True, True, False]
    assert Tag.objects.count() == 2
    assert Answer.objects.get(state="failed").message == "RuntimeError: no more paper"


def test_a_row_that_changed_meanwhile_is_left_or_written_as_asked(provider: Provider) -> None:
    first, _, third = articles(3)
    skipping, writing = enriched(provider), enriched(provider, if_changed="write")
    Article.objects.filter(pk=first.pk).update(body="other")
    # Its prompt does not read this.
    Article.objects.filter(pk=third.pk).update(views=F("views") + 1)
    assert states(ended(skipping)) == ["changed", "written", "written"]
    assert [bool(summary) for summary in summaries()] == [False, True, True]
    assert states(ended(writing)) == ["written"] * 3
    assert all(summaries())


def test_a_row_whose_related_row_changed_is_left(provider: Provider) -> None:
    first, _ = articles(2)
    batch = enriched(provider, template="By {{ row.author.name }}: {{ row.body }}")
    assert first.author
    first.author.name = "another"
    first.author.save()
    assert states(ended(batch)) == ["changed", "written"]


def test_a_row_that_is_gone_is_recorded(provider: Provider) -> None:
    first, _ = articles(2)
    batch = enriched(provider)
    first.delete()
    assert states(ended(batch)) == ["gone", "written"]
    check_batch(batch)


@pytest.mark.parametrize(
    ("answer", "into", "message"),
    [
        ("x" * 2001, "summary", "at most 2000 characters"),
        ("opera", "topic", "topic: Value 'opera' is not a valid choice."),
        ("many", "views", "views: “many” value must be an integer."),
        (None, "views", "views: This field cannot be null."),
        ("unclean", "summary", "A summary is not unclean."),
        ("forbidden", "summary", "article_allowed"),
        (10**30, "views", "views: Ensure this value is less than or equal to"),
    ],
)
def test_an_answer_that_does_not_fit_its_row_is_recorded_and_not_written(
    provider: Provider, answer: object, into: str, message: str
) -> None:
    articles(2)
    before = columns_besides()
    batch = ended(enriched(provider, schema=always(answer), into={into: "value"}))
    check_batch(batch)
    assert states(batch) == ["invalid"] * 2
    assert message in Answer.objects.all()[0].message
    assert columns_besides() == before


def test_an_answer_that_fits_one_row_alone_is_written_into_that_row(provider: Provider) -> None:
    articles(3)
    batch = ended(enriched(provider, schema=always("unique"), into={"title": "value"}))
    check_batch(batch)
    assert states(batch) == ["written", "invalid", "invalid"]
    titles = Article.objects.order_by("pk").values_list("title", flat=True)
    assert list(titles) == ["unique", "title 1", "title 2"]


def test_only_changed_asks_again_about_changed_rows_alone(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    rows = articles(60)
    ended(enriched(provider))
    assert enriched(provider, only_changed=True) is None
    for row in rows[:17]:
        Article.objects.filter(pk=row.pk).update(body=f"new {row.body}")
    ended(enriched(provider, only_changed=True))
    assert simulator.calls.total() == 60 + 17
    assert enriched(provider, only_changed=True) is None
    # Back to what it was: its answer is the one to the other body.
    Article.objects.filter(pk=rows[0].pk).update(body="body 0")
    again = enriched(provider, only_changed=True)
    assert again.total == 1


def test_an_empty_answer_is_not_written(provider: Provider) -> None:
    articles(2, body="b [simulate: answer=empty]", summary="by hand")
    batch = ended(enriched(provider))
    assert states(batch) == ["invalid"] * 2
    assert Answer.objects.all()[0].message == "summary: The answer is empty."
    assert summaries() == ["by hand"] * 2


@pytest.mark.parametrize("value", [3.7, True])
def test_a_number_is_never_made_another_one(provider: Provider, value: object) -> None:
    articles(1)
    batch = ended(enriched(provider, schema=always(value), into={"views": "value"}))
    assert states(batch) == ["invalid"]
    assert "does not fit the type IntegerField" in Answer.objects.get().message
    assert Article.objects.get().views == 0


def test_only_changed_asks_again_about_rows_whose_fields_are_empty(provider: Provider) -> None:
    first, second, _ = articles(3)
    ended(enriched(provider))
    Article.objects.filter(pk=first.pk).update(summary="")
    batch = enriched(provider, only_changed=True)
    assert Prompt.objects.get(batch=batch).custom_id == f"library.article:{first.pk}"
    # A queryset need not load the fields.
    deferred = Article.objects.only("body")
    assert enriched(provider, queryset=deferred, only_changed=True).total == 1
    # The row is another one with the same key.
    second.delete()
    Article(pk=second.pk, title="again", body=second.body).save(force_insert=True)
    assert enriched(provider, only_changed=True).total == 2


def test_only_changed_asks_again_for_another_part_of_the_answer(provider: Provider) -> None:
    articles(2)
    ended(enriched(provider, schema=ArticleFacts, into={"summary": "summary"}))
    arguments = {"schema": ArticleFacts, "only_changed": True}
    assert enriched(provider, into={"summary": "summary"}, **arguments) is None
    assert enriched(provider, into={"summary": "views"}, **arguments).total == 2


def test_only_changed_looks_at_the_same_fields(provider: Provider) -> None:
    articles(2)
    ended(enriched(provider))
    assert enriched(provider, into="facts", only_changed=True).total == 2


def test_a_row_whose_answer_was_not_written_is_asked_about_again(provider: Provider) -> None:
    first, _ = articles(2)
    batch = enriched(provider)
    Article.objects.filter(pk=first.pk).update(body="other")
    ended(batch)
    assert enriched(provider, only_changed=True).total == 1


def test_a_pilot_writes_its_rows_and_the_others_follow(provider: Provider) -> None:
    articles(20)
    batch = enriched(provider, pilot={"rows": 4}, batch_size=3)
    run_slice(batch.pk)
    assert sum(map(bool, summaries())) == 4
    resume_batch(batch)
    ended(batch)
    assert all(summaries())
    assert states(batch) == ["written"] * 20


def test_a_prompt_that_fails_is_written_by_its_retry_and_no_other_row_again(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    rows = articles(6)
    Article.objects.filter(pk=rows[2].pk).update(body="b [simulate: status=400 times=1]")
    batch = ended(enriched(provider))
    assert summaries().index("") == 2
    assert len(states(batch)) == 5
    Article.objects.exclude(pk=rows[2].pk).update(summary="by hand")
    retry_batch(batch)
    ended(batch)
    assert [text == "by hand" for text in summaries()] == [n != 2 for n in range(6)]
    assert states(batch) == ["written"] * 6


def test_what_is_cancelled_is_not_written(provider: Provider) -> None:
    articles(3)
    batch = enriched(provider)
    cancel_batch(batch)
    assert summaries() == [""] * 3
    assert states(batch) == []
    retry_batch(batch)
    assert states(ended(batch)) == ["written"] * 3


@pytest.mark.parametrize("reuse", ["batch", "owner"])
def test_rows_with_equal_prompts_get_the_answer_of_one_call(
    provider: Provider, simulator: SimulatedProvider, reuse: str
) -> None:
    articles(12, body="the same")
    batch = ended(enriched(provider, reuse=reuse, batch_size=5))
    assert simulator.calls.total() == 1
    assert summaries() == [answer_text(0, "Summarise: the same")] * 12
    assert states(batch) == ["written"] * 12


def test_related_rows_take_a_query_for_each_relation_of_a_page(provider: Provider) -> None:
    tag = Tag.objects.create(name="t")
    for row in articles(40):
        row.tags.add(tag)
    template = (
        "{{ row.author.name }}: {% for tag in row.tags %}{{ tag.name }} {% endfor %}{{ row.body }}"
    )

    def queries(number: int) -> int:
        rows = Article.objects.filter(pk__in=Article.objects.order_by("pk")[:number].values("pk"))
        with CaptureQueriesContext(connection) as captured:
            enriched(provider, template=template, queryset=rows)
        return len(captured)

    assert queries(40) == queries(4)
    assert '"author 0: t body 0"' in Prompt.objects.order_by("pk")[0].body


def test_rows_whose_keys_are_no_numbers(provider: Provider) -> None:
    notes = [Note.objects.create(text=f"note {number}") for number in range(1200)]
    template = "Shorten: {{ row.text }}"
    batch = ended(enriched(provider, queryset=Note.objects.all(), template=template))
    check_batch(batch)
    for note in Note.objects.all():
        assert note.summary == answer_text(0, f"Shorten: {note.text}")
    assert Answer.objects.for_row(notes[0]).get().state == "written"


def test_rows_of_two_tables(provider: Provider) -> None:
    story = Story.objects.create(title="t", body="b", chapters=3)
    template = "{{ row.body }} in {{ row.chapters }} chapters"
    batch = ended(enriched(provider, queryset=Story.objects.all(), template=template))
    assert states(batch) == ["written"]
    story.refresh_from_db()
    assert (story.summary, story.chapters) == (answer_text(0, "b in 3 chapters"), 3)


def test_a_batch_that_is_deleted_leaves_its_provenance(provider: Provider) -> None:
    [row] = articles(1)
    batch = ended(enriched(provider))
    delete_batch(batch)
    assert not Batch.objects.exists()
    assert Answer.objects.for_row(row).get().state == "written"
