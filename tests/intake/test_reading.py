"""An input file is read once, whoever vanishes, comes late, or is told to stop meanwhile."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.inputs.prompts import NewPrompt
from batches.intake import pages, storing
from batches.intake.reading import READERS, READING, clear_leftovers, read_input, to_read
from batches.intake.storing import LeaseLost, store_prompts
from batches.leases.batches import claim_batch, hold_batch, release_batch
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, File, Prompt, Provider, Slot
from batches.stop_signal import StopSignal
from batches.workers.sweeper import sweep
from tests.checker import check_batch
from tests.configuring import configure
from tests.makers import MODEL, options
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.django_db

LINES = 2500


def content(count: int) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    lines = (
        {"custom_id": f"id-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for n in range(count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def batch_of_file(provider: Provider, raw: bytes) -> Batch:
    owner, _ = User.objects.get_or_create(username="owner")
    file = File(owner=owner, purpose="batch", filename="in.jsonl", bytes=len(raw))
    file.content.save("in.jsonl", ContentFile(raw), save=False)
    file.save()
    return batch_actions.create_batch_of_file(
        provider, file, file.public_id, options(), origin=batch_actions.Origin(owner)
    )


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """A batch with an input of three pages that nobody has read."""
    return batch_of_file(provider, content(LINES))


def read(batch: Batch, stop: StopSignal | None = None) -> bool:
    runnable = read_input(batch.pk, stop=stop or StopSignal())
    batch.refresh_from_db()
    return runnable


def prompts(count: int, *, start: int = 0) -> Iterator[NewPrompt]:
    for n in range(start, start + count):
        yield NewPrompt(line=n + 1, custom_id=f"id-{n}", body='{"model":"m","messages":[]}')


def let_lease_run_out(batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(ingest_expires_at=timezone.now() - timedelta(hours=1))


def vanish_after_a_page(batch: Batch) -> None:
    """A reader that stored a page and was never heard of again."""
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease

    def interrupted() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_prompts(batch, interrupted(), most=LINES, lease=lease)
    assert Prompt.objects.filter(batch=batch).count() == pages.PAGE_ROWS
    let_lease_run_out(batch)


def check_read(batch: Batch) -> None:
    batch.refresh_from_db()
    assert (batch.status, batch.total) == ("in_progress", LINES)
    stored = Prompt.objects.filter(batch=batch).order_by("index").values_list("index", "custom_id")
    assert list(stored) == [(n, f"id-{n}") for n in range(LINES)]
    assert Chunk.objects.filter(batch=batch).count() == LINES // 100
    assert Slot.objects.filter(batch=batch).count() == 1


def test_a_file_is_read_and_its_batch_runnable(batch: Batch) -> None:
    assert read(batch)
    check_read(batch)
    assert batch.ingest_expires_at is None
    assert not read(batch)
    check_read(batch)


def test_who_comes_while_another_reads_goes_away(batch: Batch) -> None:
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease
    assert not read(batch)
    assert not Prompt.objects.exists()
    assert hold_batch(lease)


def test_a_reader_that_vanished_is_followed_by_one_that_begins_anew(batch: Batch) -> None:
    vanish_after_a_page(batch)
    assert read(batch)
    check_read(batch)


def test_the_third_reader_that_vanishes_was_the_last(batch: Batch) -> None:
    for _ in range(READERS):
        assert list(to_read()) == [batch]
        vanish_after_a_page(batch)
    assert not read(batch)
    assert batch.status == "failed"
    assert batch.errors[0]["code"] == "invalid_request"
    assert "interrupted 3 times" in batch.errors[0]["message"]
    assert not Prompt.objects.exists()
    assert not to_read().exists()


def test_readers_that_were_stopped_do_not_count(batch: Batch) -> None:
    stop = StopSignal()
    stop.request()
    for _ in range(READERS + 2):
        assert not read(batch, stop)
        assert (batch.status, batch.ingest_token) == ("validating", 0)
        assert list(to_read()) == [batch]
    assert read(batch)
    check_read(batch)


def test_a_reader_that_was_thought_gone_writes_nothing_more(batch: Batch) -> None:
    late = claim_batch(batch.pk, statuses=READING)
    assert late

    def overtaken() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        let_lease_run_out(batch)
        assert read(batch)
        yield from prompts(pages.PAGE_ROWS, start=pages.PAGE_ROWS)

    with pytest.raises(LeaseLost):
        store_prompts(batch, overtaken(), most=LINES, lease=late)
    check_read(batch)
    release_batch(late)
    check_read(batch)


def test_a_late_reader_neither_seals_nor_clears_nor_fails(batch: Batch) -> None:
    late = claim_batch(batch.pk, statuses=READING)
    assert late
    let_lease_run_out(batch)
    newer = claim_batch(batch.pk, statuses=READING)
    assert newer
    Prompt.objects.create(batch=batch, index=0, custom_id="theirs", body="{}")
    with pytest.raises(LeaseLost):
        storing.clear(batch.pk, late)
    with pytest.raises(LeaseLost):
        store_prompts(batch, prompts(5), most=LINES, lease=late)
    assert Prompt.objects.get().custom_id == "theirs"
    assert not Chunk.objects.exists()
    # A holder that gives the batch back does not revive who was before it.
    release_batch(newer)
    assert not hold_batch(late)


def test_a_batch_that_is_cancelled_while_it_is_read_ends_and_leaves_nothing(batch: Batch) -> None:
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease

    def cancelled() -> Iterator[NewPrompt]:
        yield from prompts(pages.PAGE_ROWS)
        assert batch_actions.cancel_batch(batch).status == "cancelled"
        yield from prompts(pages.PAGE_ROWS, start=pages.PAGE_ROWS)

    with pytest.raises(LeaseLost):
        store_prompts(batch, cancelled(), most=LINES, lease=lease)
    assert Prompt.objects.exists()
    assert not read(batch)
    check_batch(batch, status="cancelled")
    assert not Prompt.objects.exists()
    assert batch.total == 0


def test_the_sweeper_removes_what_was_stored_of_an_input_that_failed(batch: Batch) -> None:
    vanish_after_a_page(batch)
    Batch.objects.update(status="failed")
    sweep(lambda _: None)
    assert not Prompt.objects.exists()


def test_what_a_batch_that_ran_has_is_no_leftover(batch: Batch) -> None:
    assert read(batch)
    batch_actions.cancel_batch(batch)
    clear_leftovers(batch.pk)
    check_batch(batch, status="cancelled")
    assert Prompt.objects.count() == LINES


def test_a_failed_batch_that_is_deleted_takes_its_leftovers_along(batch: Batch) -> None:
    vanish_after_a_page(batch)
    Batch.objects.update(status="failed")
    batch.refresh_from_db()
    batch_actions.delete_batch(batch)
    assert not Prompt.objects.exists()
    assert not Batch.objects.exists()


def test_the_sweeper_rings_for_an_input_without_a_reader(batch: Batch) -> None:
    rung: list[int] = []
    sweep(rung.append)
    assert rung == [batch.pk]
    claim_batch(batch.pk, statuses=READING)
    sweep(rung.append)
    assert rung == [batch.pk]
    let_lease_run_out(batch)
    sweep(rung.append)
    assert rung == [batch.pk, batch.pk]


def test_an_input_that_waits_long_for_a_reader_is_not_given_up(batch: Batch) -> None:
    Batch.objects.update(created_at=timezone.now() - timedelta(days=2))
    sweep(lambda _: None)
    batch.refresh_from_db()
    assert (batch.status, batch.deleted_at) == ("validating", None)


@pytest.mark.parametrize("gone", ["row", "bytes"])
def test_a_file_that_is_gone_fails_the_batch(batch: Batch, gone: str) -> None:
    file = batch.input_file
    assert file
    if gone == "row":
        File.objects.filter(pk=file.pk).delete()
    else:
        file.content.storage.delete(file.content.name or "")
    assert not read(batch)
    assert batch.status == "failed"
    assert "gone" in batch.errors[0]["message"] or "deleted" in batch.errors[0]["message"]
    assert batch.errors[0]["param"] == "file_id"


def test_an_input_without_prompts_is_left_when_told_to_stop(provider: Provider) -> None:
    # Blank lines make no pages, at whose end a reader would look around.
    batch = batch_of_file(provider, b"{}\n" + b"\n" * 100_000)
    stop = StopSignal()
    stop.request()
    assert not read(batch, stop)
    assert batch.status == "validating"


class FailingOnce:
    """The second page comes when the database fails, after it has committed that page."""

    def __init__(self) -> None:
        self.failures = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        result = execute(sql, params, many, context)
        if sql.startswith("UPDATE") and "ingest_expires_at" in sql and not self.failures:
            self.failures += 1
            raise OperationalError("the connection was lost")
        return result


@pytest.mark.django_db(transaction=True)
def test_a_page_is_stored_again_when_the_database_failed(provider: Provider) -> None:
    batch = batch_of_file(provider, content(LINES))
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease
    failing = FailingOnce()
    with connection.execute_wrapper(failing):
        assert store_prompts(batch, prompts(LINES), most=LINES, lease=lease) == LINES
    assert failing.failures == 1
    check_read(batch)


@pytest.mark.django_db(transaction=True)
def test_a_page_that_was_stored_although_that_failed_is_no_twin_of_itself(
    provider: Provider,
) -> None:
    batch = batch_of_file(provider, content(LINES))
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease
    storing._store_page(batch.pk, 0, list(prompts(1000)), lease)
    assert storing._store_page(batch.pk, 0, list(prompts(1000)), lease, again=True) == []
    assert Prompt.objects.filter(batch=batch).count() == 1000
    assert storing._store_page(batch.pk, 1000, list(prompts(1000)), lease) != []


@pytest.mark.django_db(transaction=True)
def test_of_many_readers_at_once_one_reads(provider: Provider) -> None:
    batch = batch_of_file(provider, content(LINES))
    start = threading.Barrier(4)
    runnable: list[bool] = []

    def attempt() -> None:
        start.wait(30)
        try:
            runnable.append(read_input(batch.pk, stop=StopSignal()))
        finally:
            connection.close()

    readers = [threading.Thread(target=attempt) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert sorted(runnable) == [False, False, False, True]
    check_read(batch)


@pytest.mark.django_db(transaction=True)
def test_who_claims_a_batch_that_is_being_sealed_waits_and_comes_away_empty(
    provider: Provider,
) -> None:
    batch = batch_of_file(provider, content(3))
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease
    Batch.objects.update(ingest_expires_at=timezone.now() - timedelta(seconds=1))
    claimed: list[object] = []

    def claim() -> None:
        try:
            claimed.append(claim_batch(batch.pk, statuses=READING))
        finally:
            connection.close()

    with transaction.atomic():
        assert store_prompts(batch, prompts(3), most=LINES, lease=lease) == 3
        other = threading.Thread(target=claim)
        other.start()
        other.join(0.3)
    other.join(30)
    assert claimed == [None]
    batch.refresh_from_db()
    assert batch.status == BatchStatus.IN_PROGRESS


HOSTILE = "a\x00b\u2028\x1b[31m"


@pytest.mark.parametrize(
    "changes",
    [
        {"url": HOSTILE},
        {"custom_id": HOSTILE},
        {"method": HOSTILE},
        {HOSTILE: 1},
        {"body": {"model": HOSTILE, "messages": [{"role": "user", "content": HOSTILE}]}},
        {"body": {"model": MODEL, "messages": HOSTILE}},
        {
            "body": {
                "model": MODEL,
                "messages": [{"role": "user", "content": "hi"}],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "x",
                        "strict": True,
                        "schema": {"type": "object", "properties": {HOSTILE: {"not": {}}}},
                    },
                },
            }
        },
    ],
)
def test_hostile_texts_in_a_line_are_read_or_refused(
    provider: Provider, changes: dict[str, object]
) -> None:
    Provider.objects.update(model_names=[MODEL])
    line = {**json.loads(content(1)), **changes}
    batch = batch_of_file(provider, json.dumps(line).encode() + b"\n" + json.dumps(line).encode())
    read(batch)
    # The second line is a twin of the first, so all of them fail, with what can be shown.
    assert batch.status == "failed"
    assert batch.errors
    assert "\x00" not in json.dumps(batch.errors)
    single = batch_of_file(provider, json.dumps(line).encode())
    read(single)
    assert single.status in ("failed", "in_progress")


@pytest.fixture
def piped(provider: Provider, settings: Settings) -> Iterator[tuple[Batch, Path]]:
    """A batch whose input file is a pipe, so that a test decides when a read returns."""
    configure(settings, LEASE_SECONDS=1)
    batch = batch_of_file(provider, content(LINES))
    assert batch.input_file
    path = Path(batch.input_file.content.path)
    path.unlink()
    os.mkfifo(path)
    yield batch, path
    path.unlink()


def lease_end_of(batch: Batch) -> datetime | None:
    return Batch.objects.values_list("ingest_expires_at", flat=True).get(pk=batch.pk)


@contextmanager
def reading(batch: Batch) -> Iterator[list[bool]]:
    """Read the input in a thread; yield what it returned."""
    returned: list[bool] = []

    def attempt() -> None:
        try:
            returned.append(read_input(batch.pk, stop=StopSignal()))
        finally:
            connection.close()

    thread = threading.Thread(target=attempt)
    thread.start()
    try:
        yield returned
    finally:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_a_read_lasts(
    piped: tuple[Batch, Path], settings: Settings
) -> None:
    # Long enough for one renewal that a busy machine delays.
    configure(settings, LEASE_SECONDS=3)
    batch, path = piped
    with reading(batch) as returned, path.open("wb") as pipe:
        wait_until(lambda: lease_end_of(batch), "the lease")
        first = lease_end_of(batch)
        assert first
        second = timedelta(seconds=1)
        wait_until(lambda: (lease_end_of(batch) or first) > first + second, "two renewals")
        assert not claim_batch(batch.pk, statuses=READING)
        pipe.write(content(LINES))
    assert returned == [True]
    check_read(batch)


@pytest.mark.django_db(transaction=True)
def test_a_read_that_hangs_leaves_its_input_to_another_reader(
    piped: tuple[Batch, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batches.intake.reading.PATIENT_LEASES", 1)
    batch, path = piped
    with reading(batch) as returned, path.open("wb") as pipe:
        wait_until(lambda: claim_batch(batch.pk, statuses=READING), "another reader")
        pipe.write(content(1))
    assert returned == [False]
    assert not Prompt.objects.exists()


def write_without_end(pipe: IO[bytes]) -> None:
    while True:
        pipe.write(b"\n" * 65_536)


@pytest.mark.django_db(transaction=True)
def test_a_reader_whose_batch_is_cancelled_reads_no_further(piped: tuple[Batch, Path]) -> None:
    batch, path = piped
    with reading(batch), path.open("wb") as pipe:
        wait_until(lambda: lease_end_of(batch), "the lease")
        batch_actions.cancel_batch(batch)
        # Blank lines make no pages, at whose end a lost lease is found.
        with pytest.raises(BrokenPipeError):
            write_without_end(pipe)


def test_what_an_orderly_stop_has_left_goes_when_the_batch_is_cancelled(batch: Batch) -> None:
    vanish_after_a_page(batch)
    lease = claim_batch(batch.pk, statuses=READING)
    assert lease
    release_batch(lease)
    batch_actions.cancel_batch(batch)
    sweep(lambda _: None)
    assert not Prompt.objects.exists()
