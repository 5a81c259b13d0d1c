from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, Prompt, Provider, Result
from tests.makers import batch_of


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, 3)


def result(batch: Batch, index: int, **changes: object) -> Result:
    fields = {
        "prompt": Prompt.objects.get(batch=batch, index=index),
        "batch": batch,
        "index": index,
        "status": "succeeded",
        "input_tokens": 1,
        "output_tokens": 1,
        "calls": 1,
        "elapsed_s": 0.1,
        "done_at": timezone.now(),
        **changes,
    }
    return Result.objects.create(**fields)


def assert_refused(action: object) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        action()  # type: ignore[operator] # any callable


def test_a_prompt_has_one_result_and_no_second(batch: Batch) -> None:
    result(batch, 0)
    assert_refused(lambda: result(batch, 0))


def test_a_failed_result_has_a_kind_and_a_success_has_none(batch: Batch) -> None:
    assert_refused(lambda: result(batch, 0, status="failed"))
    assert_refused(lambda: result(batch, 0, status="succeeded", kind="server"))
    result(batch, 0, status="failed", kind="server")


@pytest.mark.parametrize(("index", "custom_id"), [(0, "new"), (7, "line-1")])
def test_index_and_custom_id_are_unique_in_a_batch(
    batch: Batch, index: int, custom_id: str
) -> None:
    assert_refused(
        lambda: Prompt.objects.create(batch=batch, index=index, custom_id=custom_id, body="{}")
    )


def test_two_batches_may_use_the_same_custom_id(batch: Batch, provider: Provider) -> None:
    other = batch_of(provider, 3)
    assert Prompt.objects.filter(custom_id="line-1").count() == 2
    assert other.pk != batch.pk


@pytest.mark.parametrize(
    "values",
    [
        {"status": "done"},
        {"schedule": "random"},
        {"endpoint": "https://other.example/v1/rerank"},
        {"succeeded": 2, "failed": 2},
        {"batch_size": 0},
        {"max_attempts": 0},
        {"timeout_s": 0},
    ],
    ids=str,
)
def test_a_batch_cannot_be_in_a_wrong_state(batch: Batch, values: dict[str, object]) -> None:
    assert_refused(lambda: Batch.objects.filter(pk=batch.pk).update(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"state": "leased"},
        {"lease_expires_at": timezone.now() + timedelta(hours=1)},
        {"state": "lost"},
        {"hi": models.F("lo")},
    ],
    ids=["leased without an end", "an end without a lease", "unknown state", "empty"],
)
def test_a_chunk_cannot_be_in_a_wrong_state(batch: Batch, values: dict[str, object]) -> None:
    assert_refused(lambda: Chunk.objects.filter(batch=batch).update(**values))


def test_there_is_one_default_provider(provider: Provider) -> None:
    Provider.objects.create(name="a", base_url="http://a.example/v1", is_default=True)
    assert_refused(
        lambda: Provider.objects.create(name="b", base_url="http://b.example", is_default=True)
    )


def test_a_move_happens_once_and_says_so(batch: Batch) -> None:
    this = Batch.objects.filter(pk=batch.pk)
    sources = {BatchStatus.IN_PROGRESS}
    assert this.move(BatchStatus.FINALIZING, sources=sources)
    assert not this.move(BatchStatus.FINALIZING, sources=sources)
    batch.refresh_from_db()
    assert batch.status == "finalizing"
    assert batch.finalizing_at is not None


def test_a_move_that_the_lifecycle_lacks_changes_nothing(batch: Batch) -> None:
    this = Batch.objects.filter(pk=batch.pk)
    with pytest.raises(ValueError, match="from failed to in_progress"):
        this.move(BatchStatus.IN_PROGRESS, sources={BatchStatus.FAILED})
    batch.refresh_from_db()
    assert batch.status == "in_progress"


def test_public_ids_cannot_be_guessed(provider: Provider) -> None:
    ids = {batch_of(provider, 1).public_id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(name) == len("batch_") + 32 for name in ids)


REASONS = {
    "": "",
    "auth: HTTP 401": "auth",
    "budget: max_cost of $1 is spent": "budget",
    "manual: the bill": "staff",
    "network: no answer for 900 s": "away",
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_an_older_version_has_paused_is_given_a_kind(provider: Provider, reason: str) -> None:
    batch = batch_of(provider, 1)
    Batch.objects.update(pause_reason=reason)
    Provider.objects.update(pause_reason=reason)
    migration = import_module("batches.migrations.0018_pause_kind")
    migration.give_kinds(apps, connection.schema_editor())
    batch.refresh_from_db()
    assert batch.pause_kind == batch.provider.pause_kind == REASONS[reason]
    assert batch.standstill_kind == REASONS[reason]
