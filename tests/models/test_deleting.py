"""A batch that is deleted from Python takes its output files with it, at any stage."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from batches.actions.batches import cancel_batch, retry_batch
from batches.models import Batch, File, Provider
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.makers import batch_of

pytestmark = pytest.mark.django_db(transaction=True)

PROMPTS = 6
OWNER = "owner"


def by_instance(batch: Batch) -> None:
    Batch.objects.get(pk=batch.pk).delete()


def by_an_instance_of_before_it_had_files(batch: Batch) -> None:
    stale = Batch.objects.get(pk=batch.pk)
    stale.output_file_id = stale.error_file_id = None
    stale.delete()


def by_queryset(batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).delete()


def by_its_owner(batch: Batch) -> None:
    assert batch.owner is not None
    batch.owner.delete()


def ready(_: Batch) -> None:
    """Nothing has run yet."""


def completed(batch: Batch) -> None:
    assert run_slice(batch.pk).ended


def cancelled(batch: Batch) -> None:
    cancel_batch(batch)


def retried(batch: Batch) -> None:
    completed(batch)
    batch.refresh_from_db()
    retry_batch(batch)


WAYS = (by_instance, by_an_instance_of_before_it_had_files, by_queryset, by_its_owner)


@pytest.fixture
def batch(provider: Provider, simulator: SimulatedProvider) -> Batch:
    simulator.behaviour = Behaviour(error_rate="400=0.5")
    owner = User.objects.create_user(OWNER)
    batch = batch_of(provider, PROMPTS, batch_size=2)
    Batch.objects.update(owner=owner)
    batch.refresh_from_db()
    return batch


@pytest.mark.parametrize("stage", [ready, completed, cancelled, retried])
@pytest.mark.parametrize("delete", WAYS)
def test_no_file_stays_behind(
    batch: Batch, stage: Callable[[Batch], None], delete: Callable[[Batch], None]
) -> None:
    other = batch_of(batch.provider, 1)
    stage(batch)
    delete(batch)
    assert not Batch.objects.filter(pk=batch.pk).exists()
    other.refresh_from_db()
    assert set(File.objects.all()) == {other.output_file, other.error_file}


def test_a_batch_that_is_deleted_while_it_runs_leaves_no_file(batch: Batch) -> None:
    def delete(_: Any) -> None:
        Batch.objects.filter(pk=batch.pk).delete()

    run_slice(batch.pk, on_progress=delete)
    assert not Batch.objects.exists()
    assert not File.objects.exists()
