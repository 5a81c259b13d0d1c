"""A lease is renewed while its holder waits, for as long as it is held."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.signals import connection_created
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.leases.batches import BatchLease, claim_batch, hold_batch, release_batch
from batches.leases.renewal import renewed
from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider
from tests.configuring import configure
from tests.makers import batch_of
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

THREAD = "lease"


@pytest.fixture
def lease(provider: Provider, settings: Settings) -> BatchLease:
    configure(settings, LEASE_SECONDS=1)
    lease = claim_batch(batch_of(provider, 1).pk, statuses={BatchStatus.IN_PROGRESS})
    assert lease
    return lease


def end_of(lease: BatchLease) -> datetime:
    end = Batch.objects.get(pk=lease.batch_id).ingest_expires_at
    assert end is not None
    return end


def is_renewing() -> bool:
    return any(thread.name == THREAD for thread in threading.enumerate())


def test_it_is_renewed_until_the_block_ends(lease: BatchLease) -> None:
    first = end_of(lease)
    with renewed(lease):
        wait_until(lambda: end_of(lease) > first + timedelta(seconds=1), "the second renewal")
        assert is_renewing()
    wait_until(lambda: not is_renewing(), "the end of the thread")
    assert hold_batch(lease)


def test_it_is_renewed_no_more_once_it_is_lost(lease: BatchLease) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    with renewed(lease):
        Batch.objects.update(ingest_token=lease.token + 1, ingest_expires_at=long_ago)
        wait_until(lambda: not is_renewing(), "the end of the thread")
        assert end_of(lease) == long_ago


def mark_deleted(_: BatchLease) -> None:
    Batch.objects.update(deleted_at=timezone.now())


def cancel(_: BatchLease) -> None:
    Batch.objects.update(status="cancelled")


@pytest.mark.parametrize("end", [release_batch, mark_deleted, cancel])
def test_what_has_ended_is_not_held_again(
    lease: BatchLease, end: Callable[[BatchLease], None]
) -> None:
    end(lease)
    with renewed(lease):
        wait_until(lambda: not is_renewing(), "the end of the thread")
    assert not hold_batch(lease)


def lost_connection() -> Exception:
    return OperationalError("the connection was lost")


def full_disk() -> Exception:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count = 1")
        try:
            database.execute("CREATE TABLE rows (name TEXT)")
        except sqlite3.OperationalError as full:
            error = OperationalError(str(full))
            error.__cause__ = full
            return error
    pytest.fail("one page was enough for a table")


@contextmanager
def failing_once(error: Exception) -> Iterator[list[str]]:
    """Let the first statement of the renewing thread fail."""
    failed: list[str] = []

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if not failed and sql.startswith("UPDATE"):
            failed.append(sql)
            raise error
        return execute(sql, *rest)

    def wrap(connection: Any, **_: Any) -> None:
        if threading.current_thread().name == THREAD:
            connection.execute_wrappers.append(fail)

    connection_created.connect(wrap)
    try:
        yield failed
    finally:
        connection_created.disconnect(wrap)


@pytest.mark.parametrize(("fault", "warnings"), [(lost_connection, 1), (full_disk, 0)])
def test_it_is_tried_again_when_the_database_failed(
    lease: BatchLease,
    fault: Callable[[], Exception],
    warnings: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = end_of(lease)
    with failing_once(fault()) as failed, renewed(lease):
        wait_until(lambda: end_of(lease) > first, "a renewal")
    assert len(failed) == 1
    # The thread that stores says that the disk is full.
    assert caplog.text.count("Could not renew") == warnings
