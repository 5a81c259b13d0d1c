"""The database refuses a row: it fails alone, its neighbours are stored, nothing is paid twice."""

import pytest

from batches.models import Batch, Chunk, Provider, Result
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.checker import check_batch
from tests.makers import batch_of
from tests.refusing import MESSAGE, refusing
from tests.runner.resuming import resume_to_the_end

pytestmark = pytest.mark.django_db(transaction=True)

RESULT, BATCH = "batches_result", "batches_batch"
PROMPTS = 30
THE_ONE = 17


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, PROMPTS, batch_size=10)


def its(column: str, condition: str) -> str:
    """Return the condition that a column of the one row fulfils this."""
    return f"""NEW."index" = {THE_ONE} AND NEW.{column} {condition}"""


@pytest.mark.parametrize(
    ("condition", "kept"),
    {
        "its answer as it is": (its("status", "= 'succeeded'"), {"body", "usage"}),
        "its finish reason": (its("finish_reason", "<> ''"), {"body", "usage"}),
        "its body": (its("body", "IS NOT NULL"), {"usage", "quotation"}),
        "its tokens": (its("output_tokens", "> 0"), {"body"}),
        "its times": (its("elapsed_s", "> 0"), {"body"}),
        "body and tokens": (
            f"{its('body', 'IS NOT NULL')} OR {its('input_tokens', '> 0')}",
            {"quotation"},
        ),
        "all but a bare row": (its("calls", "> 0"), set()),
    }.values(),
    ids=lambda value: "" if isinstance(value, set) else str(value)[15:60],
)
def test_the_one_row_that_is_refused_fails_and_keeps_what_can_be_kept(
    batch: Batch, simulator: SimulatedProvider, condition: str, kept: set[str]
) -> None:
    with refusing(RESULT, condition):
        assert run_slice(batch.pk).ended
    check_batch(batch)
    assert simulator.calls == {f"prompt {n}": 1 for n in range(PROMPTS)}
    [failed] = Result.objects.filter(batch=batch, status=Result.FAILED)
    assert (failed.index, failed.kind, failed.code) == (THE_ONE, "unstorable", "unstorable")
    assert MESSAGE in failed.message
    found = {
        "body": failed.body is not None,
        "usage": failed.output_tokens > 0,
        "quotation": "it began with" in failed.message,
    }
    assert {name for name, there in found.items() if there} == kept
    assert batch.output_tokens >= sum(
        Result.objects.filter(batch=batch).values_list("output_tokens", flat=True)
    )


def test_every_third_row_is_refused_and_all_others_are_stored(
    batch: Batch, simulator: SimulatedProvider
) -> None:
    with refusing(RESULT, """NEW."index" % 3 = 0 AND NEW.status = 'succeeded'"""):
        assert run_slice(batch.pk).ended
    check_batch(batch)
    assert (batch.succeeded, batch.failed) == (20, 10)
    assert sum(simulator.calls.values()) == PROMPTS


@pytest.mark.parametrize(
    ("table", "on"), [(RESULT, "INSERT"), (BATCH, "UPDATE")], ids=["results", "counts"]
)
def test_a_database_that_takes_no_result_pauses_the_batch_with_the_reason(
    batch: Batch, simulator: SimulatedProvider, table: str, on: str
) -> None:
    condition = {RESULT: "1 = 1", BATCH: "NEW.calls > 0"}[table]
    with refusing(table, condition, on=on):
        report = run_slice(batch.pk)
    assert report.stopped
    assert MESSAGE in report.pause_reason
    assert report.pause_reason.startswith("unstorable: ")
    # A window in flight, and at most two more that waited to be stored.
    assert sum(simulator.calls.values()) <= 30
    assert not Chunk.objects.filter(batch=batch, state="leased").exists()
    assert not Chunk.objects.filter(batch=batch, crashes__gt=0).exists()
    resume_to_the_end(batch)


def test_where_all_answers_are_refused_they_are_kept_as_failures_and_the_batch_pauses(
    batch: Batch, simulator: SimulatedProvider
) -> None:
    with refusing(RESULT, "NEW.status = 'succeeded'"):
        report = run_slice(batch.pk)
    assert MESSAGE in report.pause_reason
    results = Result.objects.filter(batch=batch)
    assert {(result.kind, result.body is None) for result in results} == {("unstorable", False)}
    assert len(results) == sum(simulator.calls.values())


def test_a_row_that_is_refused_in_every_form_pauses_the_batch_and_costs_no_neighbour(
    batch: Batch,
) -> None:
    with refusing(RESULT, f"""NEW."index" = {THE_ONE}"""):
        report = run_slice(batch.pk)
    assert MESSAGE in report.pause_reason
    stored = set(Result.objects.filter(batch=batch).values_list("index", flat=True))
    chunk = {index for index in range(10, 20) if index != THE_ONE}
    assert stored >= chunk
    resume_to_the_end(batch)
    assert batch.succeeded == PROMPTS


def test_a_batch_whose_row_takes_no_pause_pauses_its_provider(
    batch: Batch, provider: Provider
) -> None:
    with refusing(BATCH, "NEW.calls > 0 OR NEW.pause_reason <> ''", on="UPDATE"):
        report = run_slice(batch.pk)
    assert MESSAGE in report.pause_reason
    provider.refresh_from_db()
    assert batch.public_id in provider.pause_reason
    assert provider.probe_at is None
