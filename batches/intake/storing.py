"""Store prompts as a stream in the order of the input; all of them or none."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.models import Max

from batches.bulk import Row, insert_rows
from batches.conf import conf
from batches.database import connection, transaction
from batches.inputs.prompts import LineError, NewPrompt
from batches.intake.pages import take_prompts, twins
from batches.intake.pilot_groups import PilotGroups
from batches.intake.tally import Tally, check_schemas_of_owner, storable
from batches.leases.batches import BatchLease, hold_batch, leased
from batches.leases.pilot_sample import Group, planned_chunks, sample_of
from batches.lifecycle import BatchStatus
from batches.models import Batch, BatchQuerySet, Chunk, Prompt, Slot
from batches.models.full_disk import is_full
from batches.output.files import make_outputs
from batches.output.jsonl import LINE_FORMAT
from batches.reuse.digests import RequestDigests
from batches.signals import batch_started, send_after_commit

logger = logging.getLogger(__name__)

COLUMNS = ("batch_id", "index", "custom_id", "body", "row", "digest")
DELETED_AT_ONCE = 5_000
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0


class LeaseLost(Exception):
    """The batch was cancelled or another reader has claimed it: nothing more may be written."""


def store_prompts(
    batch: Batch,
    items: Iterable[NewPrompt | LineError],
    *,
    most: int,
    lease: BatchLease | None = None,
) -> int:
    """Store the prompts of a batch that is being validated, and make it runnable.

    Return the number of prompts. Raise InputRefused, with nothing left to run, if a line is
    invalid, a custom_id is a duplicate, or there are no prompts or more than `most`. Raise
    LeaseLost, and write nothing more, once the lease is lost; it may be missing only if the batch
    was created in the caller's transaction. Errors of the database are retried outside of one.
    """
    tally = Tally(batch)
    digests = None if batch.reuse == "off" else RequestDigests(batch)
    groups = PilotGroups(batch.pilot_by, batch.pilot_rows or 0) if batch.pilot_by else None

    def store(page: Sequence[NewPrompt]) -> list[LineError]:
        errors = _store_surely(batch.pk, tally.prompts, page, lease, digests)
        for prompt in page:
            if groups is not None:
                groups.count(tally.prompts, prompt)
            tally.count(prompt)
        return errors

    take_prompts(items, store, most=most)
    _seal(batch, tally, lease, groups.chosen() if groups else None)
    return tally.prompts


def as_error(error: LineError) -> dict[str, Any]:
    """Return an error for the Batch object; an error of the whole file has no line."""
    return {
        "code": error.code,
        "message": storable(error.message),
        "param": None if error.param is None else storable(error.param),
        "line": error.line or None,
    }


def clear(batch_id: int, lease: BatchLease | None = None) -> None:
    """Delete the prompts of a batch in pieces; with a lease, stop once it is lost."""
    top = Prompt.objects.filter(batch_id=batch_id).aggregate(top=Max("index"))["top"]
    for lo in range(0, -1 if top is None else top + 1, DELETED_AT_ONCE):
        with transaction.atomic():
            _check_held(lease)
            some = Prompt.objects.filter(
                batch_id=batch_id, index__gte=lo, index__lt=lo + DELETED_AT_ONCE
            )
            some._raw_delete(some.db)


def _rows(
    batch_id: int, first: int, page: Sequence[NewPrompt], digests: RequestDigests | None
) -> Iterator[Row]:
    for index, prompt in enumerate(page, first):
        digest = digests.of(prompt.body) if digests else None
        yield batch_id, index, prompt.custom_id, prompt.body, prompt.row, digest


def _store_surely(
    batch_id: int,
    first: int,
    page: Sequence[NewPrompt],
    lease: BatchLease | None,
    digests: RequestDigests | None,
) -> list[LineError]:
    """Store a page. Outside of a transaction, retry for the length of a lease, if that may help."""
    give_up_at = time.monotonic() + conf().LEASE_SECONDS
    wait_s, again = FIRST_WAIT_S, False
    while True:
        try:
            return _store_page(batch_id, first, page, lease, digests, again=again)
        except (OperationalError, InterfaceError) as error:
            is_late = time.monotonic() > give_up_at
            if connection.in_atomic_block or is_late or is_full(error):
                raise
            logger.warning("The database failed, trying again in %.2f s: %s", wait_s, error)
        connection.close()
        time.sleep(wait_s)
        wait_s, again = min(2 * wait_s, LONGEST_WAIT_S), True


def _store_page(
    batch_id: int,
    first: int,
    page: Sequence[NewPrompt],
    lease: BatchLease | None,
    digests: RequestDigests | None = None,
    *,
    again: bool = False,
) -> list[LineError]:
    try:
        with transaction.atomic():
            _check_held(lease)
            if again:
                # The failed attempt may have been committed.
                stored = Prompt.objects.filter(batch_id=batch_id, index__gte=first)
                stored._raw_delete(stored.db)
            insert_rows(Prompt._meta.db_table, COLUMNS, _rows(batch_id, first, page, digests))
    except IntegrityError:
        return _twins(batch_id, page)
    return []


def _check_held(lease: BatchLease | None) -> None:
    if lease is not None and not hold_batch(lease):
        raise LeaseLost


def _twins(batch_id: int, page: Sequence[NewPrompt]) -> list[LineError]:
    """Return an error for each prompt of a page with a duplicate custom_id."""
    stored = Prompt.objects.filter(batch_id=batch_id)
    ids = [prompt.custom_id for prompt in page]
    return twins(page, set(stored.filter(custom_id__in=ids).values_list("custom_id", flat=True)))


def _seal(
    batch: Batch, tally: Tally, lease: BatchLease | None, groups: Sequence[Group] | None
) -> None:
    """Create the chunks and make the batch runnable; both or neither."""
    size, total = batch.batch_size, tally.prompts
    pilot = sample_of(total, batch.pilot_rows, groups)
    with transaction.atomic():
        check_schemas_of_owner(batch, tally)
        # Update the batch first, so that a runner that claims it waits for this transaction.
        if not _own(batch, lease).move(
            BatchStatus.IN_PROGRESS,
            sources={BatchStatus.VALIDATING},
            ingest_expires_at=None,
            output_bytes=0,
            pilot_groups=groups,
            # Bytes are counted while results are stored, without the rows of their prompts, and
            # without answers that are used again.
            output_format=None if batch.template_id or batch.reuse != "off" else LINE_FORMAT,
            **tally.values(),
        ):
            raise LeaseLost
        send_after_commit(batch_started, Batch, batch_id=batch.pk)
        insert_rows(
            Chunk._meta.db_table,
            ("batch_id", "lo", "hi", "state", "lease_token", "crashes", "suspect_crashes"),
            (
                (batch.pk, chunk.lo, chunk.hi, chunk.state.value, 0, 0, 0)
                for chunk in planned_chunks(total, size, pilot)
            ),
        )
        Slot.objects.bulk_create(Slot(batch=batch, number=n) for n in range(batch.parallelism))
        make_outputs(batch)


def _own(batch: Batch, lease: BatchLease | None) -> BatchQuerySet:
    return Batch.objects.filter(pk=batch.pk) if lease is None else leased(lease)
