"""Results are found by what was asked and answered, a bounded number at a time."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from batches.admin.batches.results import result_rows, searching
from batches.admin.batches.results.result_views import NO_FIELD
from batches.lifecycle import BatchStatus
from batches.models import Batch, Prompt, Provider, Result
from tests.admin.conftest import Login
from tests.admin.makers import answer, ended_batch
from tests.makers import batch_of


def address(batch: Batch, name: str = "results", *more: int) -> str:
    return reverse(f"admin:batches_batch_{name}", args=[batch.pk, *more])


def found(client: Client, batch: Batch, **given: str) -> list[int]:
    return [row.index for row in client.get(address(batch), given).context["rows"]]


@pytest.fixture
def letters(provider: Provider) -> Batch:
    """Five letters, of which one failed, and answers that are JSON."""
    answers: list[Any] = [
        {"kind": "refund", "amount": 12, "tags": ["late", "angry"], "by": {"name": "Zoë"}},
        {"kind": "Refund", "amount": None, "tags": [], "by": {"name": 'Jo "J" Doe'}},
        {"kind": "praise", "urgent": True},
        "no JSON at all",
    ]
    texts = ["Where is my money?", "Pay\n\u00c4rger \u201cback\u201d", "Thanks", "Hm", "Refund me"]
    said = {n: json.dumps(one) for n, one in enumerate(answers)}
    batch = ended_batch(provider, ["x"] * 5, answers=said, failed={4: "no room"})
    for index, text in enumerate(texts):
        body = json.dumps({"messages": [{"role": "user", "content": text}]})
        Prompt.objects.filter(batch=batch, index=index).update(body=body)
    return batch


@pytest.mark.parametrize(
    ("given", "indexes"),
    [
        ({"text": "MONEY"}, [0]),
        ({"text": "\u00e4rger"}, [1]),
        ({"text": "\u201cback\u201d"}, [1]),
        ({"text": "refund"}, [0, 1, 4]),
        ({"text": "refund", "status": "failed"}, [4]),
        ({"text": "refund", "kind": "server"}, [4]),
        ({"text": "refund", "custom_id": "line-1"}, [0]),
        ({"text": 'Jo \\"J'}, [1]),
        ({"text": "content"}, []),
        ({"field": "kind", "value": "refund"}, [0, 1]),
        ({"field": "amount", "value": "12"}, [0]),
        ({"field": "amount", "value": "null"}, [1]),
        ({"field": "amount"}, [0, 1]),
        ({"field": "urgent", "value": "true"}, [2]),
        ({"field": "tags", "value": "angry"}, [0]),
        ({"field": "by.name", "value": "zo\u00eb"}, [0]),
        ({"field": "kind", "value": "refund", "text": "money"}, [0]),
        ({"field": "nothing.like", "value": "x"}, []),
    ],
)
def test_results_are_found_by_text_and_by_the_value_of_a_field(
    root: Client, letters: Batch, given: dict[str, str], indexes: list[int]
) -> None:
    assert found(root, letters, **given) == indexes


def test_the_answer_that_fits_its_schema_is_searched(root: Client, letters: Batch) -> None:
    Result.objects.filter(batch=letters, index=3).update(parsed='{"kind": "mended"}')
    assert found(root, letters, field="kind", value="mended") == [3]


def test_a_value_needs_its_field(root: Client, letters: Batch) -> None:
    page = root.get(address(letters), {"value": "refund"})
    assert NO_FIELD in page.content.decode()
    assert len(page.context["rows"]) == 5


def test_the_fields_of_the_schema_are_offered(root: Client, letters: Batch) -> None:
    schema = {"type": "object", "properties": {"kind": {"type": "string"}, "amount": {}}}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    Batch.objects.filter(pk=letters.pk).update(defaults={"response_format": shape})
    assert root.get(address(letters)).context["fields"] == ["kind", "amount"]


def test_results_are_counted(root: Client, letters: Batch) -> None:
    for given, said in (
        ({}, "5 results."),
        ({"status": "succeeded"}, "4 results."),
        ({"status": "failed"}, "1 result."),
        ({"kind": "refusal"}, "0 results."),
        ({"text": "refund"}, "3 found among 5 results searched."),
    ):
        assert f'id="found">{said}</p>' in root.get(address(letters), given).content.decode()


def test_more_than_can_be_counted_quickly_is_said(
    root: Client, letters: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_rows, "LOOKED_AT", 0)
    page = root.get(address(letters), {"status": "failed"})
    assert "More than 0 results." in page.content.decode()


@pytest.mark.parametrize(("bound", "value"), [("MOST_SEARCHED", 100), ("MOST_SEARCH_S", 0.0)])
def test_a_search_stops_at_its_bounds_and_goes_on_from_there(
    root: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    answers = dict.fromkeys((3, 150, 250), "needle")
    batch = ended_batch(provider, ["hay"] * 280, answers=answers, failed={7: "x", 140: "x"})
    monkeypatch.setattr(searching, bound, value)
    query, seen, said = "text=needle", list[int](), list[str]()
    while query:
        page = root.get(f"{address(batch)}?{query}")
        seen += [row.index for row in page.context["rows"]]
        said.append(page.context["found"].words)
        query = page.context["next_page"]
    assert seen == [3, 150, 250]
    assert said[0] == "1 found among 100 results searched, up to number 100 of 280."
    assert said[-1] == "1 found among 80 results searched."


def test_what_was_found_leads_to_its_neighbours(root: Client, provider: Provider) -> None:
    answers = dict.fromkeys(range(0, 240, 2), "needle")
    batch = ended_batch(provider, ["hay"] * 240, answers=answers)
    page = root.get(address(batch, "result", 100), {"text": "needle"})
    assert (page.context["previous"], page.context["next"]) == (98, 102)
    assert "Back to similar results" in page.content.decode()
    second = root.get(address(batch), {"text": "needle", "after": "98"})
    assert [row.index for row in second.context["rows"]] == list(range(100, 200, 2))
    first = root.get(f"{address(batch)}?{second.context['previous_page']}")
    assert [row.index for row in first.context["rows"]] == list(range(0, 100, 2))


@pytest.mark.parametrize(
    ("prompt", "body"),
    [
        ("x" * 200_000, None),
        ('{"messages": [{"role": "user", "content": "' + "x" * 200_000, answer("y" * 200_000)),
        ('{"messages": 7}', '{"choices": [{"message": {"content": 7}}]}'),
        ('{"messages": []}', "[" * 5000),
    ],
)
def test_a_search_survives_whatever_is_stored(
    root: Client, provider: Provider, prompt: str, body: str | None
) -> None:
    batch = ended_batch(provider, ["a", "b"])
    Prompt.objects.filter(batch=batch, index=0).update(body=prompt)
    Result.objects.filter(batch=batch, index=0).update(body=body)
    Result.objects.filter(batch=batch, index=1).update(body=answer("needle"))
    assert found(root, batch, text="needle") == [1]
    assert found(root, batch, field="a.b", value="1") == []


# -- one result


def test_one_result_is_retried_from_its_page(root: Client, letters: Batch) -> None:
    assert "Retry this prompt" not in root.get(address(letters, "result", 0)).content.decode()
    assert "Retry this prompt" in root.get(address(letters, "result", 4)).content.decode()
    root.post(address(letters, "retry"), {"index": "4"})
    letters.refresh_from_db()
    assert (letters.status, letters.failed) == (BatchStatus.IN_PROGRESS, 0)
    assert not Result.objects.filter(batch=letters, index=4).exists()
    assert letters.results.count() == 4


def test_a_number_that_is_none_retries_nothing(root: Client, letters: Batch) -> None:
    for index in ("", "x", "-1", "9" * 30):
        assert root.post(address(letters, "retry"), {"index": index}).status_code == 404
    letters.refresh_from_db()
    assert letters.status == BatchStatus.COMPLETED


def test_a_result_of_a_running_batch_is_not_retried(root: Client, letters: Batch) -> None:
    Batch.objects.filter(pk=letters.pk).update(status=BatchStatus.IN_PROGRESS)
    assert "Retry this prompt" not in root.get(address(letters, "result", 4)).content.decode()


def test_retrying_one_needs_the_permission(login: Login, letters: Batch) -> None:
    reader = login("view_batch", "view_result")
    assert "Retry this prompt" not in reader.get(address(letters, "result", 4)).content.decode()


def test_request_and_answer_can_be_copied(root: Client, letters: Batch) -> None:
    page: Any = root.get(address(letters, "result", 1))
    assert page.context["reading"].asked_text == "Pay\n\u00c4rger \u201cback\u201d"
    shown = page.content.decode()
    for what in ("the custom_id", "the request", "the response"):
        assert f'aria-label="Copy {what}"' in shown
    unanswered = root.get(address(letters, "result", 4)).content.decode()
    assert 'aria-label="Copy the response"' not in unanswered


def test_the_answers_before_the_last_one_are_shown_with_their_errors(
    root: Client, letters: Batch
) -> None:
    pairs = [["<b>no</b> JSON", "not JSON: <i>"], ['{"kind": 1}', "kind: not a string"]]
    Result.objects.filter(batch=letters, index=0).update(rejected=json.dumps(pairs), calls=3)
    page = root.get(address(letters, "result", 0)).content.decode()
    assert "This is the last answer. The answers before it" in page
    for number, (said, errors) in enumerate(pairs, 1):
        assert f"Answer {number}, sent back" in page
        assert escape(said) in page
        assert escape(errors) in page
    assert "sent back" not in root.get(address(letters, "result", 1)).content.decode()


def test_an_unfinished_prompt_has_a_page(root: Client, provider: Provider) -> None:
    page = root.get(address(batch_of(provider, ["a"]), "result", 0))
    assert "no result yet" in page.content.decode()
