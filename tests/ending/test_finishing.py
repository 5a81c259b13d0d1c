"""Batches end: once, with all that is said of their end, whatever happens at the same time."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from batches.actions import batches as batch_actions
from batches.ending.finishing import finish_batch
from batches.ending.report import stored_report
from batches.ending.summary import summarise
from batches.leases.batches import claim_batch, hold_batch
from batches.leases.chunks import hold
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, File, Provider, Result
from batches.output.files import is_incomplete, output_lines, visible_files
from batches.runner.results import Activity, Clock, store_outcomes
from tests.checker import check_batch
from tests.makers import batch_of, chunk_outcomes, claim_chunk

LONG_AGO = timezone.now() - timedelta(days=1)


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """Three chunks: 0-1, 2-3 and 4."""
    return batch_of(provider, 5, batch_size=2)


def store_first_chunk(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    store_outcomes(
        batch.pk,
        [chunk_outcomes(batch, lease, failed=[1])],
        activity=Activity(0, 0, None),
        clock=Clock(0),
        lease_seconds=60,
    )


def kinds(batch: Batch) -> list[str]:
    return list(batch.results.order_by("index").values_list("kind", flat=True))


def test_a_batch_with_open_prompts_does_not_end(batch: Batch) -> None:
    store_first_chunk(batch)
    assert not finish_batch(batch.pk)
    batch.refresh_from_db()
    assert batch.status == "in_progress"


def test_a_cancelled_batch_keeps_what_it_has_and_closes_the_rest(batch: Batch) -> None:
    store_first_chunk(batch)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    check_batch(batch, status="cancelled")
    assert kinds(batch) == ["", "server", "cancelled", "cancelled", "cancelled"]
    # What never ran is not counted as failed.
    assert (batch.succeeded, batch.failed) == (1, 1)


def test_the_end_is_logged_once_with_its_performance(
    batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    store_first_chunk(batch)
    Batch.objects.update(status="cancelling")
    with caplog.at_level(logging.INFO, logger="batches.ending.finishing"):
        assert finish_batch(batch.pk)
        assert finish_batch(batch.pk)
    batch.refresh_from_db()
    report = stored_report(batch)
    assert report
    assert [record.getMessage() for record in caplog.records] == [
        f"{batch} processed 5 prompts: 1 succeeded, 1 failed; {report.timing.describe()}"
    ]


def test_an_overdue_batch_expires(batch: Batch) -> None:
    store_first_chunk(batch)
    Batch.objects.update(expires_at=LONG_AGO)
    assert claim_chunk(batch.pk, seconds=60) is None
    assert finish_batch(batch.pk)
    check_batch(batch, status="expired")
    assert kinds(batch)[2:] == ["expired"] * 3


def test_a_batch_that_was_done_in_time_completes_however_late_it_is_looked_at(
    provider: Provider,
) -> None:
    batch = batch_of(provider, 2, batch_size=2)
    store_first_chunk(batch)
    Batch.objects.update(expires_at=LONG_AGO)
    assert finish_batch(batch.pk)
    check_batch(batch)


def test_the_chunks_that_a_runner_holds_are_waited_for(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    Batch.objects.update(status="cancelling")
    assert not finish_batch(batch.pk)
    assert sorted(batch.results.values_list("index", flat=True)) == [2, 3, 4]
    assert hold(lease, seconds=60)


def test_a_runner_that_was_thought_gone_is_fenced_off(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    Chunk.objects.filter(pk=lease.chunk_id).update(lease_expires_at=LONG_AGO)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    late = [chunk_outcomes(batch, lease)]
    lost = store_outcomes(
        batch.pk, late, activity=Activity(0, 0, None), clock=Clock(0), lease_seconds=60
    )
    assert lost == [lease]
    check_batch(batch, status="cancelled")


def test_many_chunks_are_closed_in_pieces(provider: Provider) -> None:
    batch = batch_of(provider, 450, batch_size=2)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    check_batch(batch, status="cancelled")
    assert Result.objects.filter(kind="cancelled").count() == 450


def end(batch: Batch) -> None:
    """Have everything be done but the end."""
    Chunk.objects.filter(batch=batch).update(state="done")


def test_the_end_brings_a_report_that_needs_no_further_look_at_the_results(batch: Batch) -> None:
    store_first_chunk(batch)
    end(batch)
    assert finish_batch(batch.pk)
    batch.refresh_from_db()
    report = stored_report(batch)
    assert report
    assert report.failures == {"server": 1}
    assert (report.timing.answered, report.timing.p99_s) == (2, 0.25)
    assert report.output_bytes > 0
    assert report.error_bytes > 0
    Result.objects.all().delete()
    assert summarise(batch).timing == report.timing


@pytest.mark.parametrize(
    "change",
    [{}, {"output_bytes": None, "output_format": None}, {"output_bytes": 7, "output_format": 1}],
    ids=["counted", "of an earlier version", "counted for other lines"],
)
def test_the_size_of_the_output_is_right_whoever_counted_it(
    batch: Batch, change: dict[str, Any]
) -> None:
    Batch.objects.filter(pk=batch.pk).update(**change)
    store_first_chunk(batch)
    end(batch)
    batch.refresh_from_db()
    assert (batch.output_bytes is None) == bool(change)
    assert finish_batch(batch.pk)
    batch.refresh_from_db()
    report = stored_report(batch)
    assert report
    assert batch.output_file
    lines = output_lines(batch.output_file)
    assert lines is not None
    assert report.output_bytes == batch.output_file.bytes == len(b"".join(lines)) > 0


def test_while_one_looks_at_the_results_no_other_does(batch: Batch) -> None:
    store_first_chunk(batch)
    end(batch)
    lease = claim_batch(batch.pk, statuses=set(BatchStatus))
    assert lease
    assert not finish_batch(batch.pk)
    batch.refresh_from_db()
    assert (batch.status, batch.report) == ("finalizing", None)
    assert hold_batch(lease)
    Batch.objects.update(ingest_expires_at=LONG_AGO)
    assert finish_batch(batch.pk)
    batch.refresh_from_db()
    assert (batch.status, batch.ingest_expires_at) == ("completed", None)


def test_a_look_that_fails_is_taken_anew(batch: Batch) -> None:
    store_first_chunk(batch)
    end(batch)
    # What no JSON holds, so that the report cannot be stored.
    Result.objects.filter(index=0).update(latency_s=float("inf"))
    with pytest.raises(Exception, match=r"(?i)json|constraint"):
        finish_batch(batch.pk)
    Result.objects.filter(index=0).update(latency_s=0.25)
    assert finish_batch(batch.pk)


def test_a_batch_that_is_cancelled_while_it_expires_ends_as_cancelled(batch: Batch) -> None:
    store_first_chunk(batch)
    Batch.objects.update(expires_at=LONG_AGO)
    asked = CancelledMeanwhile(batch)
    with connection.execute_wrapper(asked):
        assert finish_batch(batch.pk)
    assert asked.done
    batch.refresh_from_db()
    assert (batch.status, batch.expired_at) == ("cancelled", None)
    assert batch.report is not None


def test_who_is_late_closes_nothing_of_a_batch_that_was_retried_meanwhile(batch: Batch) -> None:
    Batch.objects.update(status="cancelling")
    asked = RetriedMeanwhile(batch)
    with connection.execute_wrapper(asked):
        finish_batch(batch.pk)
    assert asked.done
    batch.refresh_from_db()
    assert batch.status == "in_progress"
    assert not Result.objects.exists()


class RetriedMeanwhile:
    """Another who ends a batch just before its chunks are looked for, and an owner who retries."""

    def __init__(self, batch: Batch) -> None:
        self.done = False
        self._batch = batch

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        if sql.startswith("SELECT") and '"lease_token"' in sql and not self.done:
            self.done = True
            assert finish_batch(self._batch.pk)
            batch_actions.retry_batch(self._batch)
        return execute(sql, params, many, context)


class CancelledMeanwhile:
    """Somebody who cancels a batch while its results are looked at."""

    def __init__(self, batch: Batch) -> None:
        self.done = False
        self._batch = batch

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        if "latency_s" in sql and sql.startswith("SELECT") and not self.done:
            self.done = True
            assert Batch.objects.filter(pk=self._batch.pk).move(
                BatchStatus.CANCELLING, sources={BatchStatus.IN_PROGRESS}
            )
        return execute(sql, params, many, context)


def test_a_batch_whose_last_chunk_is_done_meanwhile_completes_by_who_did_it(batch: Batch) -> None:
    store_first_chunk(batch)
    asked = DoneMeanwhile(batch)
    with connection.execute_wrapper(asked):
        finish_batch(batch.pk)
    assert asked.done
    batch.refresh_from_db()
    # Not expired, nor held by somebody who has nothing to say of its end.
    assert (batch.status, batch.expired_at, batch.ingest_expires_at) == ("in_progress", None, None)
    assert finish_batch(batch.pk)
    batch.refresh_from_db()
    assert batch.status == "completed"


class DoneMeanwhile:
    """A runner that stores the last chunk just after somebody found it to be open."""

    def __init__(self, batch: Batch) -> None:
        self.done = False
        self._batch = batch

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        found = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "is_open" in sql and not self.done:
            self.done = True
            end(self._batch)
        return found


def test_who_was_overtaken_does_not_end_a_batch_that_runs_again(batch: Batch) -> None:
    store_first_chunk(batch)
    end(batch)
    assert finish_batch(batch.pk)
    batch_actions.retry_batch(batch)
    assert not finish_batch(batch.pk)
    batch.refresh_from_db()
    assert (batch.status, batch.report) == ("in_progress", None)


def test_the_files_of_a_batch_that_ends_have_the_size_of_their_lines(batch: Batch) -> None:
    store_first_chunk(batch)
    assert not visible_files(File.objects.filter(errors_of=None, output_of=None)).exists()
    assert File.objects.count() == 2
    batch_actions.cancel_batch(batch)
    for name in ("output_file", "error_file"):
        file = getattr(batch, name)
        lines = output_lines(file)
        assert lines is not None
        assert sum(map(len, lines)) == file.bytes > 0
        assert not is_incomplete(file)


def test_files_are_hidden_as_long_as_there_is_no_line_in_them(batch: Batch) -> None:
    def shown() -> set[str]:
        return {file.filename.rpartition("_")[2] for file in visible_files(File.objects.all())}

    uploaded = File.objects.create(purpose="batch", filename="a_input.jsonl", bytes=1)
    assert shown() == {"input.jsonl"}
    store_first_chunk(batch)
    assert shown() == {"input.jsonl", "output.jsonl", "error.jsonl"}
    Batch.objects.update(failed=0)
    assert shown() == {"input.jsonl", "output.jsonl"}
    Batch.objects.update(succeeded=0, status="cancelled")
    # Of what never ran there are lines, too.
    assert shown() == {"input.jsonl", "error.jsonl"}
    assert output_lines(uploaded) is None
    assert not is_incomplete(uploaded)
