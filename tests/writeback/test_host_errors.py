"""Whatever the code of a project does to a row, the answers are kept and the others are written."""

from collections.abc import Callable
from typing import Any

import pytest

from batches.models import Answer, Batch, Enrichment, Provider, Result
from batches.runner.run import run_slice
from batches.signals import prompt_finished
from simulator import SimulatedProvider
from tests.checker import check_batch
from tests.library import saving
from tests.library.makers import articles, enriched
from tests.library.models import Article

# Foreign keys are checked, and hooks are called, at a real commit.
pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 12
SOME = (3, 7)


def make(bad: tuple[int, ...]) -> None:
    for number, row in enumerate(articles(ROWS)):
        if number in bad:
            Article.objects.filter(pk=row.pk).update(title=f"bad {number}")


def run(batch: Batch) -> None:
    """Run a batch that ends in one slice, if it does not pause."""
    report = run_slice(batch.pk)
    assert report.ended, report.pause_reason
    check_batch(batch)


@pytest.mark.parametrize("bad", [SOME, tuple(range(ROWS))], ids=["some", "all"])
@pytest.mark.parametrize("save", saving.FAULTY)
def test_a_save_that_fails_costs_no_answer(
    provider: Provider, simulator: SimulatedProvider, save: Callable[..., None], bad: Any
) -> None:
    make(bad)
    batch = enriched(provider, into=save)
    run(batch)
    assert simulator.calls.total() == ROWS
    assert set(Result.objects.values_list("status", flat=True)) == {"succeeded"}
    states = Answer.objects.for_batch(batch).values_list("state", flat=True)
    expected = ["failed" if number in bad else "written" for number in range(ROWS)]
    assert list(states) == expected
    for answer in Answer.objects.filter(state="failed"):
        assert saving.FAULTY[save] in answer.message
    summaries = Article.objects.order_by("pk").values_list("summary", flat=True)
    assert [bool(text) for text in summaries] == [state == "written" for state in expected]


def test_a_save_that_fails_under_reuse_costs_no_answer(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    articles(ROWS, body="the same", author=None)
    Article.objects.filter(title="title 7").update(title="bad")
    batch = enriched(provider, into=saving.refer_to_nothing, reuse="batch", batch_size=5)
    run(batch)
    assert simulator.calls.total() == 1
    assert Answer.objects.for_batch(batch).count() == ROWS
    assert "IntegrityError" in Answer.objects.filter(state="failed")[0].message


def test_related_rows_that_a_worker_cannot_read_cost_no_answer(provider: Provider) -> None:
    articles(ROWS)
    batch = enriched(provider)
    # As a manager that raises an error without a request.
    Enrichment.objects.update(lookups=["author__nowhere"])
    run(batch)
    assert Result.objects.filter(status="succeeded").count() == ROWS
    assert Answer.objects.filter(state="failed", message__contains="nowhere").count() == ROWS


def test_a_hook_that_fails_keeps_no_other_from_being_called(provider: Provider) -> None:
    make(SOME)
    saving.HEARD.clear()
    finished: list[int] = []

    def hear(prompt_ids: list[int], **_: object) -> None:
        finished.extend(prompt_ids)

    prompt_finished.connect(hear)
    try:
        run(enriched(provider, into=saving.register_a_hook))
    finally:
        prompt_finished.disconnect(hear)
    assert [f"title {n}" for n in range(ROWS) if n not in SOME] == saving.HEARD
    assert len(finished) == len(set(finished)) == ROWS
    assert Answer.objects.filter(state="written").count() == ROWS
