"""A worker shows that it is there, until it ends; a database that is away is no reason to stop."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from batches.admin.workers import WorkerState, worker_states
from batches.models import Provider, Slot, Worker, lease_end
from batches.workers.heartbeats import Heartbeat, forget_workers, process_name
from tests.makers import batch_of
from tests.waiting import wait_until


@pytest.fixture
def heartbeat(transactional_db: None) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat("one@here", every_s=0.01)
    heartbeat.start()
    yield heartbeat
    heartbeat.stop()


def states() -> list[tuple[str, str, int]]:
    return [(one.name, one.state, one.batches) for one in worker_states()]


def grow_silent(**ago: int) -> None:
    Worker.objects.update(seen_at=Now() - timedelta(**ago))


def test_an_idle_worker_is_seen_until_it_ends(heartbeat: Heartbeat) -> None:
    wait_until(lambda: states() == [("one@here", "idle", 0)])
    heartbeat.stop()
    assert states() == []


def test_it_beats_again_and_again(heartbeat: Heartbeat) -> None:
    wait_until(Worker.objects.exists)
    grow_silent(hours=1)
    wait_until(lambda: states() == [("one@here", "idle", 0)])


def test_it_comes_back_when_it_was_forgotten(heartbeat: Heartbeat) -> None:
    wait_until(Worker.objects.exists)
    Worker.objects.all().delete()
    wait_until(Worker.objects.exists)


def test_it_takes_the_place_of_one_that_was_killed(transactional_db: None) -> None:
    Worker.objects.create(name="one@here", process="here:1")
    grow_silent(hours=1)
    heartbeat = Heartbeat("one@here")
    heartbeat.start()
    wait_until(lambda: states() == [("one@here", "idle", 0)])
    assert Worker.objects.get().process == process_name()
    heartbeat.stop()


def test_it_goes_on_trying_without_a_database(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with connection.schema_editor() as editor:
        editor.delete_model(Worker)
    heartbeat = Heartbeat("one@here", every_s=0.01)
    heartbeat.start()
    try:
        wait_until(lambda: "No heartbeat" in caplog.text)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Worker)
    wait_until(Worker.objects.exists)
    heartbeat.stop()


def test_who_is_at_work_is_told_from_who_is_idle_or_silent(provider: Provider) -> None:
    for name in ("idle", "busy", "dead"):
        Worker.objects.create(name=name, process=f"{name}:1")
    Worker.objects.filter(name="dead").update(seen_at=Now() - timedelta(minutes=5))
    for runner in ("busy:1", "busy:1", "command:7"):
        batch = batch_of(provider, ["a"])
        Slot.objects.filter(batch=batch).update(runner=runner, lease_expires_at=lease_end(60))
    found = {one.name: one for one in worker_states()}
    assert {name: (one.state, one.batches) for name, one in found.items()} == {
        "idle": ("idle", 0),
        "busy": ("busy", 2),
        "dead": ("silent", 0),
        "command:7": ("busy", 1),
    }
    assert found["command:7"] == WorkerState("command:7", "busy", 1, seen_s=None)
    assert (found["dead"].seen_s or 0) >= 300


def test_the_dead_are_forgotten_after_a_day(db: None) -> None:
    for name, hours in (("old", 25), ("new", 23)):
        Worker.objects.create(name=name, process="x")
        Worker.objects.filter(name=name).update(seen_at=Now() - timedelta(hours=hours))
    forget_workers()
    assert [one.name for one in Worker.objects.all()] == ["new"]
