"""Read the input file of a batch in the background, under the batch's lease.

If a reader vanishes, another one starts from the beginning; after three readers the batch fails.
"""

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, BinaryIO, cast

from django.db import Error
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from batches.conf import conf
from batches.ending.finishing import fail_input
from batches.ending.purging import mark_deleted, purge
from batches.files.files import BATCH
from batches.inputs.input_formats import InputFormat, named_format
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError
from batches.inputs.recognition import format_in
from batches.inputs.request_lines import LineRefused, parse_line
from batches.inputs.text_lines import UnreadableFile, first_line
from batches.intake.storing import LeaseLost, as_error, clear, store_prompts
from batches.intake.tally import InputRefused
from batches.leases.batches import (
    BatchLease,
    claim_batch,
    leased,
    release_batch,
)
from batches.leases.renewal import renewed
from batches.lifecycle import BatchStatus
from batches.models import Batch, BatchQuerySet, File, Prompt, lease_end
from batches.models.full_disk import is_full
from batches.stop_signal import StopSignal

if TYPE_CHECKING:
    from batches.inputs.row_templates.rendering import RowTemplate

logger = logging.getLogger(__name__)

READERS = 3
# After this number of leases without progress, an input is given up: a read that hangs leaves it to
# another reader, and the batch of a creator that is gone is deleted.
PATIENT_LEASES = 10
READING = frozenset({BatchStatus.VALIDATING})
OVER = frozenset({BatchStatus.FAILED, BatchStatus.CANCELLED})


class _Stopped(Exception):
    """This process was asked to stop."""


def read_input(batch_id: int, *, stop: StopSignal) -> bool:
    """Store the prompts of a batch that is being validated; return True if it is now runnable.

    Any number of workers may call this for one batch: one of them reads, the others return at once.
    """
    lease = claim_batch(batch_id, statuses=READING)
    if lease is None:
        clear_leftovers(batch_id)
        return False
    batch = Batch.objects.select_related("provider", "template", "input_file").get(pk=batch_id)
    try:
        if lease.token > READERS:
            message = f"Reading {_named(batch)} was interrupted {READERS} times. Try another batch."
            raise InputRefused([_fault(message)])
        clear(batch_id, lease)
        _store(batch, lease, stop)
    except InputRefused as refused:
        fail_input(leased(lease), batch_id, [as_error(error) for error in refused.errors])
    except _Stopped:
        release_batch(lease)
    except LeaseLost:
        logger.debug("%s: the lease for reading the input is lost", batch)
    except Error as error:
        if not is_full(error):
            raise
        # The input is not at fault: this attempt does not count.
        logger.warning("%s: the input cannot be read while the disk is full", batch)
        with suppress(Error):
            release_batch(lease)
        return False
    else:
        return True
    clear_leftovers(batch_id)
    return False


def to_read() -> BatchQuerySet:
    """Return the batches with an input file that waits for a reader."""
    free = Q(ingest_expires_at=None) | Q(ingest_expires_at__lt=Now())
    waiting = Batch.objects.filter(free, status__in=READING, in_background=True)
    return waiting.exclude(input_file_public_id="")


def remove_abandoned() -> int:
    """Delete batches whose creator vanished while it stored their prompts; return their number.

    No other process can read them to the end, since only their creator had the input. So there is
    no hurry: a creator whose database was away for longer than a lease keeps its batch.
    """
    unread = Batch.objects.filter(status__in=READING, input_file_public_id="")
    long_ago = lease_end(-PATIENT_LEASES * conf().LEASE_SECONDS)
    mark_deleted(unread.filter(ingest_expires_at__lt=long_ago, deleted_at=None))
    marked = list(unread.filter(deleted_at__isnull=False).values_list("pk", flat=True))
    for pk in marked:
        purge(pk)
    return len(marked)


def left_over() -> BatchQuerySet:
    """Return the batches that never ran and may have stored prompts."""
    # A total means that the whole input was read.
    some = Prompt.objects.filter(batch_id=OuterRef("pk"))
    return Batch.objects.filter(Exists(some), status__in=OVER, total=0)


def clear_leftovers(batch_id: int) -> None:
    """Delete the stored prompts of an input that was refused or cancelled."""
    if left_over().filter(pk=batch_id).exists():
        clear(batch_id)


def _named(batch: Batch) -> str:
    return f"the input file (input_file_id {batch.input_file_public_id!r})"


def _fault(message: str) -> LineError:
    return LineError(0, "invalid_request", message, "file_id")


def _store(batch: Batch, lease: BatchLease, stop: StopSignal) -> None:
    options = InputOptions(
        endpoint=batch.endpoint,
        defaults=batch.defaults,
        max_line_bytes=conf().MAX_LINE_BYTES,
        format=cast("InputFormat", batch.input_format or "jsonl"),
        column=batch.input_column,
        # Without a format, a file has lines of the Batch API with all fields.
        strict=not batch.input_format,
        models=frozenset(batch.provider.model_names),
        strict_schemas=batch.strict_schemas,
        max_schema_bytes=conf().MAX_SCHEMA_BYTES_PER_BATCH,
        template=template_of(batch),
    )
    if batch.input_file is None:
        raise InputRefused([_fault(f"{_named(batch)} was deleted. Upload it again.")])
    try:
        stream = batch.input_file.content.open("rb")
    except FileNotFoundError as error:
        message = f"The content of {_named(batch)} is gone. Upload it again."
        raise InputRefused([_fault(message)]) from error
    reader = _WatchedStream(cast("BinaryIO", stream), stop)
    with stream, renewed(lease, is_alive=reader.is_alive, on_loss=reader.lose):
        items = read_prompts(cast("BinaryIO", reader), options)
        store_prompts(batch, items, most=conf().MAX_PROMPTS_PER_BATCH, lease=lease)


def template_of(batch: Batch) -> "RowTemplate | None":
    """Return the compiled template of a batch. Raise InputRefused if it cannot be compiled."""
    if batch.template is None:
        return None
    # It loads Jinja, which other batches do not need.
    from batches.inputs.row_templates.rendering import RowTemplate  # noqa: PLC0415 - takes long
    from batches.inputs.row_templates.sources import (  # noqa: PLC0415 - the same
        TemplateRefused,
        stored_messages,
    )

    try:
        messages = stored_messages(batch.template.messages)
        return RowTemplate(messages, max_chars=conf().MAX_LINE_BYTES)
    except TemplateRefused as refused:
        # It was accepted by another release.
        raise InputRefused([LineError(0, "invalid_template", refused.message, "template")]) from (
            refused
        )


class _WatchedStream:
    """A stream that stops with _Stopped when this process is asked to stop, and with LeaseLost when
    the lease is lost.

    Storing pages is not enough for that, since blank and invalid lines fill no page.
    """

    def __init__(self, stream: BinaryIO, stop: StopSignal) -> None:
        self._is_lost = Event()
        self._read = stream.read
        self._stop = stop
        self._read_at = time.monotonic()

    def is_alive(self) -> bool:
        """Return False if reading and storing have hung for many leases."""
        return time.monotonic() - self._read_at < PATIENT_LEASES * conf().LEASE_SECONDS

    def lose(self) -> None:
        """Let the next read raise LeaseLost."""
        self._is_lost.set()

    def read(self, size: int) -> bytes:
        """Return the next bytes. Readers ask for few bytes at a time."""
        if self._stop.requested:
            raise _Stopped
        if self._is_lost.is_set():
            raise LeaseLost
        data = self._read(size)
        self._read_at = time.monotonic()
        return data


def table_format_of(file: File, columns: Collection[str]) -> InputFormat:
    """Return the format of a table with these columns: by its name, else by its first line."""
    named = named_format(file.filename)
    if named not in (None, "text"):
        return named
    try:
        with file.content.open("rb") as stream:
            first = first_line(cast("BinaryIO", stream), conf().MAX_LINE_BYTES)
    except (OSError, UnreadableFile):
        # The reader will say why.
        first = None
    return format_in((first or "").strip(), columns=columns, is_table=True) or "csv"


def model_of(file: File) -> str | None:
    """Return the model of a file's first request, or None if it is not found in the first line."""
    if file.purpose != BATCH:
        return None
    try:
        with file.content.open("rb") as stream:
            first = first_line(cast("BinaryIO", stream), conf().MAX_LINE_BYTES)
        line = parse_line(first or "")
        body = line.get("body", line)
    except (OSError, LineRefused, UnreadableFile):
        return None
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None
