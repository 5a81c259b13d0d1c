"""A slice ends for the first of its errors; the others that it causes are reported nowhere."""

import asyncio
import gc
import sqlite3
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError

from batches.models import Batch, Provider
from batches.runner.database import PatientDatabase
from batches.runner.slices.batch_slice import BatchSlice
from batches.runner.store import SliceStore, take_slot
from batches.stop_signal import StopSignal
from tests.makers import batch_of

FULL = "database or disk is full"


def fail() -> NoReturn:
    """Raise what Django raises for a full disk."""
    cause = sqlite3.OperationalError(FULL)
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise OperationalError(FULL) from cause


class FullStore(SliceStore):
    """The disk has room for the first claim, and for nothing after it."""

    def store(self, *_args: Any, **_options: Any) -> NoReturn:
        fail()


class SlowDatabase(PatientDatabase):
    """The second claim is in progress when the first outcomes cannot be stored; then it fails."""

    def __init__(self, claim: Callable[..., Any]) -> None:
        super().__init__(full_disk_s=0)
        self._claim = claim
        self._claims = 0

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._claims += function == self._claim
        if self._claims > 1 and function == self._claim:
            await self._fail_once_cancelled()
        return await super().call(function, *args, **kwargs)

    async def _fail_once_cancelled(self) -> NoReturn:
        """Do as a statement in a thread: it goes on after the cancellation, to its own end."""
        try:
            await asyncio.Event().wait()
        finally:
            fail()


@pytest.mark.django_db(transaction=True)
def test_a_claim_and_a_store_that_fail_together_are_one_error(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    pk = batch_of(provider, 2_000, batch_size=10).pk
    batch = Batch.objects.select_related("provider", "enrichment").get(pk=pk)
    slot = take_slot(pk)
    assert slot
    store = FullStore(batch, slot, on_progress=lambda _: None, slice_s=None)
    work = BatchSlice(
        batch,
        store,
        StopSignal(),
        database=SlowDatabase(store.claim),
        grace_s=None,
        probing=False,
    )
    with pytest.raises(OperationalError, match=FULL):
        async_to_sync(work.run)()
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
