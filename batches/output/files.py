"""The output files of batches: generated from the results on each read."""

from collections.abc import Iterator

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from batches.lifecycle import TERMINAL, BatchStatus
from batches.models import Batch, File, Result, lease_end
from batches.output.jsonl import LINE_FORMAT, json_lines

PURPOSE = "batch_output"


def make_outputs(batch: Batch) -> None:
    """Create the two files of a starting batch, or reset its existing files. The API hides them
    while they have no lines."""
    there = File.objects.filter(pk__in=[batch.output_file_id, batch.error_file_id])
    there.update(bytes=0, expires_at=None)
    missing = {
        name: File.objects.create(
            owner_id=batch.owner_id,
            purpose=PURPOSE,
            filename=f"{batch.public_id}_{name.removesuffix('_file')}.jsonl",
            bytes=0,
        )
        for name in ("output_file", "error_file")
        if getattr(batch, f"{name}_id") is None
    }
    if missing:
        Batch.objects.filter(pk=batch.pk).update(**missing)


def close_outputs(batch: Batch, *, output_bytes: int, error_bytes: int) -> None:
    """Set the sizes and expiry times of the files of a batch that ends. One without lines stays
    hidden, for a retry that may fill it."""
    life = batch.output_expires_after_s
    for pk, size in ((batch.output_file_id, output_bytes), (batch.error_file_id, error_bytes)):
        if pk is not None and size:
            # A file counts as created when it is complete; its life starts then.
            File.objects.filter(pk=pk).update(
                bytes=size, created_at=Now(), expires_at=lease_end(life) if life else None
            )


def drop_outputs(batch: Batch) -> None:
    """Delete the output files of a deleted batch."""
    File.objects.filter(Q(output_of=batch) | Q(errors_of=batch)).delete()


def output_id(batch: Batch) -> str | None:
    """Return the ID of the output file; None while it has no lines."""
    return batch.output_file.public_id if batch.output_file and batch.succeeded else None


def error_id(batch: Batch) -> str | None:
    """Return the ID of the error file; None while it has no lines."""
    return batch.error_file.public_id if batch.error_file and _has_errors(batch) else None


def output_lines(file: File) -> Iterator[bytes] | None:
    """Return the lines of an output file, several at a time; None for a file with content of its
    own."""
    found = _batch_of(file)
    if found is None:
        return None
    batch, status = found
    return _lines(batch, status)


def is_incomplete(file: File) -> bool:
    """Return True if this is an output file of a batch that has not ended."""
    found = _batch_of(file)
    return found is not None and found[0].status not in TERMINAL


def content_length(file: File) -> int | None:
    """Return the size of a file's content in bytes; None if it is unknown before it is read."""
    found = _batch_of(file)
    if found is None:
        # Ask the storage, so that missing content is noticed now.
        return file.content.size
    batch, _ = found
    known = batch.status in TERMINAL and (batch.report or {}).get("line_format") == LINE_FORMAT
    return file.bytes if known else None


def visible_files(queryset: QuerySet[File]) -> QuerySet[File]:
    """Exclude output files without lines."""
    errors = Q(errors_of__failed__gt=0) | Q(
        errors_of__status__in=(BatchStatus.CANCELLED, BatchStatus.EXPIRED),
        errors_of__total__gt=F("errors_of__succeeded") + F("errors_of__failed"),
    )
    no_output = Q(output_of=None) & Q(errors_of=None)
    return queryset.filter(no_output | Q(output_of__succeeded__gt=0) | errors)


def _has_errors(batch: Batch) -> bool:
    never_ran = batch.total - batch.succeeded - batch.failed
    ended_early = batch.status in (BatchStatus.CANCELLED, BatchStatus.EXPIRED)
    return batch.failed > 0 or (ended_early and never_ran > 0)


def _batch_of(file: File) -> tuple[Batch, str] | None:
    """Return the batch of an output file, and the status of the results in it."""
    for name, status in (("output_of", Result.SUCCEEDED), ("errors_of", Result.FAILED)):
        batch = getattr(file, name, None)
        if batch is not None:
            return batch, status
    return None


def _lines(batch: Batch, status: str) -> Iterator[bytes]:
    for lines in json_lines(batch, status=status):
        yield lines.encode()
