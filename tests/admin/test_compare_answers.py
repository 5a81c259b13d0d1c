"""Answers of several batches side by side: the page, its rows, and what follows from it."""

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.actions.batches import Origin, create_batch_of_file
from batches.admin.batches import answer_views
from batches.models import Batch, File, KeptAnswer, Prompt, Provider
from batches.reuse.digests import RequestDigests
from tests.admin.conftest import Login
from tests.comparison.makers import answered_batch
from tests.makers import options

PAGE = reverse("admin:batches_batch_answers")
ROWS = {f"r{n}": {"truth": "good" if n % 2 else "bad"} for n in range(60)}


def ids_of(*batches: Batch) -> str:
    return ",".join(str(batch.pk) for batch in batches)


def page_of(client: Client, *batches: Batch, **query: str) -> Any:
    return client.get(PAGE, {"ids": ids_of(*batches), **query})


@pytest.fixture
def pair(provider: Provider) -> tuple[Batch, Batch]:
    """A batch that is right about every row, and one that always says good."""
    right = {key: {"label": row["truth"]} for key, row in ROWS.items()}
    return (
        answered_batch(provider, right, rows=ROWS, name="careful"),
        answered_batch(provider, {key: {"label": "good"} for key in ROWS}, name="hasty"),
    )


def test_batches_of_the_list_are_compared(root: Client, pair: tuple[Batch, Batch]) -> None:
    chosen = {"action": "compare_answers", "_selected_action": [batch.pk for batch in pair]}
    changelist = reverse("admin:batches_batch_changelist")
    answer = root.post(changelist, chosen, follow=True)
    assert answer.redirect_chain == [(f"{PAGE}?ids={ids_of(*pair)}", 302)]
    shown = answer.content.decode()
    for text in ("careful", "hasty", "60 rows that", "50.0 %", "Rows that disagree"):
        assert text in shown, text
    one = {**chosen, "_selected_action": [pair[0].pk]}
    assert "Choose 2 to 4 batches." in root.post(changelist, one, follow=True).content.decode()


def test_rows_that_disagree_are_paged(root: Client, pair: tuple[Batch, Batch]) -> None:
    first = page_of(root, *pair)
    rows = first.context["rows"].rows
    assert [row.custom_id for row in rows] == [f"r{n}" for n in range(0, 40, 2)]
    assert "<del>bad</del><ins>good</ins>" in first.content.decode()
    second = root.get(f"{PAGE}?{first.context['next_page']}")
    assert [row.custom_id for row in second.context["rows"].rows] == [
        f"r{n}" for n in range(40, 60, 2)
    ]
    assert "figures" not in second.context
    everything = root.get(f"{PAGE}?{first.context['other_rows']}")
    assert [row.custom_id for row in everything.context["rows"].rows] == [
        f"r{n}" for n in range(20)
    ]
    following = root.get(f"{PAGE}?{everything.context['next_page']}")
    assert following.context["rows"].rows[0].custom_id == "r20"


def test_the_truth_names_the_best(root: Client, pair: tuple[Batch, Batch]) -> None:
    shown = page_of(root, *pair, field="label", column="truth")
    assert "Batch 1 is best (careful), over 60 rows." in shown.content.decode()
    assert "truth: bad" in shown.content.decode()
    # The pages that follow know it too.
    following = root.get(f"{PAGE}?{shown.context['next_page']}").content.decode()
    assert "truth: bad" in following
    same = page_of(root, pair[0], pair[0], field="label", column="truth")
    assert same.status_code == 302
    wrong = page_of(root, *pair, field="label", column="nothing")
    assert (
        "There is no column &#x27;nothing&#x27;; there are: &#x27;truth&#x27;."
        in wrong.content.decode()
    )


def test_all_rows_are_downloaded(root: Client, pair: tuple[Batch, Batch]) -> None:
    address = reverse("admin:batches_batch_answers_csv")
    answer = root.get(address, {"ids": ids_of(*pair), "truth": "label=truth"})
    assert "attachment" in answer.headers["Content-Disposition"]
    header, *rows = csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig")))
    assert header[:3] == ["custom_id", "agree", "truth_label"]
    assert len(rows) == 60
    assert root.get(address, {"ids": ids_of(pair[0])}).status_code == 404
    assert root.get(address, {"ids": ids_of(*pair), "truth": "x"}).status_code == 404


def test_large_batches_are_compared_in_part(
    root: Client, pair: tuple[Batch, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_views, "MOST_ROWS", 30)
    shown = page_of(root, *pair).content.decode()
    assert "The figures cover the first 30 rows of batch 1" in shown


def test_the_page_costs_a_bounded_number_of_queries(
    root: Client, provider: Provider, pair: tuple[Batch, Batch]
) -> None:
    page_of(root, *pair)
    with CaptureQueriesContext(connection) as few:
        page_of(root, *pair)
    many = answered_batch(provider, {f"r{n}": {"label": "good"} for n in range(400)})
    with CaptureQueriesContext(connection) as queries:
        page_of(root, many, *pair)
    assert len(queries) <= len(few) + 12 <= 50


def test_answers_need_the_permission_to_see_them(login: Login, pair: tuple[Batch, Batch]) -> None:
    assert page_of(login("view_batch"), *pair).status_code == 403
    assert page_of(login("view_result"), *pair).status_code in {403, 404}
    reader = login("view_batch", "view_result")
    shown = page_of(reader, *pair)
    assert shown.status_code == 200
    assert "for the rest" not in shown.content.decode()
    assert page_of(reader, pair[0], ids=f"{pair[0].pk},999999").status_code == 404


def test_batches_of_different_owners_are_not_compared(
    root: Client, provider: Provider, pair: tuple[Batch, Batch]
) -> None:
    other = answered_batch(provider, {"r0": {"label": "secret"}}, owner=User.objects.get())
    answer = root.get(PAGE, {"ids": ids_of(pair[0], other)}, follow=True)
    shown = answer.content.decode()
    assert "Batches of different owners are not compared; choose batches of one owner." in shown
    assert "secret" not in shown
    address = reverse("admin:batches_batch_answers_csv")
    assert root.get(address, {"ids": ids_of(pair[0], other)}).status_code == 404


# -- the rest


def again(client: Client, batch: Batch, source: Batch) -> Any:
    address = reverse("admin:batches_batch_again", args=[batch.pk])
    return client.post(address, {"rows": str(source.pk), "reuse": "owner"}, follow=True)


def test_the_winner_is_run_with_the_whole_input(root: Client, provider: Provider) -> None:
    owner = User.objects.get()
    whole = answered_batch(
        provider, {f"r{n}": {"label": "x"} for n in range(20)}, owner=owner, batch_size=3
    )
    sample = answered_batch(
        provider, {f"r{n}": {"label": "y"} for n in range(5)}, owner=owner, batch_size=7
    )
    shown = page_of(root, whole, sample).content.decode()
    assert f'name="rows" value="{whole.pk}"' in shown
    assert "Use batch 2 for the rest…" in shown
    answer = again(root, sample, whole)
    form = answer.context["form"]
    assert (form.initial["batch_size"], form.initial["reuse"]) == (7, "owner")
    assert form["reuse"].value() == "owner"
    with form.kept.content.open("rb") as content:
        assert len(content.read().splitlines()) == 20
    assert "rows that it has are not paid for a second time" in answer.content.decode()
    # Its answers are found by the requests of the new batch.
    digests = RequestDigests(sample)
    prompts = Prompt.objects.filter(batch=sample)
    assert {bytes(digests.of(prompt.body)) for prompt in prompts} == {
        bytes(digest) for digest in KeptAnswer.objects.values_list("digest", flat=True)
    }


def test_a_file_of_another_batch_is_read_in_its_own_format(
    root: Client, provider: Provider
) -> None:
    content = "prompt,custom_id\nWhy?,one\n"
    file = File.objects.create(purpose="batch", filename="why.csv", bytes=len(content))
    file.content.save("x", ContentFile(content.encode()))
    whole = create_batch_of_file(
        provider, file, file.public_id, options(), origin=Origin(), input_format="csv"
    )
    sample = answered_batch(provider, {"one": {"label": "x"}})
    prompt = Prompt.objects.get(batch=sample)
    Prompt.objects.create(batch=whole, index=0, custom_id="one", body=prompt.body)
    Prompt.objects.create(batch=whole, index=1, custom_id="two", body=prompt.body)
    form = again(root, sample, whole).context["form"]
    assert (form.initial["format"], form.kept.filename) == ("csv", "why.csv")


def test_what_cannot_be_used_again_is_said(root: Client, provider: Provider) -> None:
    owner = User.objects.get()
    others = answered_batch(provider, {"a": {"label": "x"}})
    shown = again(root, others, others).content.decode()
    assert "all of its rows are sent and paid for" in shown
    running = answered_batch(provider, {"a": {"label": "x"}}, owner=owner)
    Batch.objects.filter(pk=running.pk).update(status="in_progress")
    assert "has not ended" in again(root, running, running).content.decode()
    assert not KeptAnswer.objects.exists()


def test_rows_of_another_input_are_not_run(root: Client, provider: Provider) -> None:
    batch = answered_batch(provider, {"a": {"label": "x"}})
    other = answered_batch(provider, {"b": {"label": "x"}, "c": {"label": "x"}})
    strange = answered_batch(
        provider, {"a": {"label": "x"}, "c": {"label": "x"}}, owner=User.objects.get()
    )
    for source in (other, strange):
        assert again(root, batch, source).status_code == 404
