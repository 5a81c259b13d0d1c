"""Files that are uploaded in parts, within an hour.

pending -> completed | cancelled | expired, each in one guarded step. The rows of parts stay for
that hour, so that completing twice returns the same answer; their bytes are deleted once they are
no longer needed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from django.core.files.base import File as Bytes
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db.models import QuerySet, Sum
from django.db.models.functions import Now

from batches.database import transaction
from batches.engine.text.wording import value_text
from batches.files.files import FileConflict, FileRefused, NewFile, check_content, stored
from batches.lifecycle import UploadStatus
from batches.models import Upload, UploadPart, UploadQuerySet, lease_end

LIFE_S = 3600
MAX_PARTS = 10_000
# A client resends a part if the response was lost, so more bytes may come than were announced.
ROOM = 2

COPY_BYTES = 1024 * 1024
PARTS_AT_ONCE = 1000


class _Overtaken(Exception):
    """Another request has ended the upload meanwhile."""


def begin_upload(new: NewFile, *, size: int, mime_type: str) -> Upload:
    """Start an upload of `size` bytes."""
    upload = Upload.objects.create(
        owner=new.owner,
        purpose=new.purpose,
        filename=new.filename,
        mime_type=mime_type,
        bytes=size,
        file_expires_after_s=new.expires_after_s,
        expires_at=lease_end(LIFE_S),
    )
    upload.refresh_from_db()
    return upload


def add_part(upload: Upload, content: "Bytes[bytes]") -> UploadPart:
    """Add a part to a pending upload. Raise FileRefused, or FileConflict if it has ended."""
    size = content.size or 0
    if not size:
        raise FileRefused(
            "The 'data' of the part is empty: it has 0 bytes. Give at least one.", param="data"
        )
    part = UploadPart(upload=upload, bytes=size)
    with stored(part.content, part.public_id, content), transaction.atomic():
        # Lock the upload, so that concurrent parts are counted correctly.
        this = _pending(upload).select_for_update().first()
        if this is None:
            raise _has_ended(upload)
        _check_room(this, size)
        part.save(force_insert=True)
    part.refresh_from_db()
    return part


def complete_upload(upload: Upload, part_ids: Sequence[str], *, md5: str | None = None) -> Upload:
    """Create a file from these parts in this order. Repeating it returns the same answer.

    Raise FileRefused, or FileConflict for an upload that has ended otherwise.
    """
    if upload.status not in (UploadStatus.PENDING, UploadStatus.COMPLETED):
        raise _has_ended(upload)
    parts = _parts_in_order(upload, part_ids)
    if upload.status == UploadStatus.PENDING:
        # Parts are missing if a faster request has completed the upload and deleted them.
        with suppress(_Overtaken, FileNotFoundError):
            _make_file(upload, parts, md5)
        upload.refresh_from_db()
    if upload.status != UploadStatus.COMPLETED:
        raise _has_ended(upload)
    drop_parts(UploadPart.objects.filter(upload=upload))
    return upload


def cancel_upload(upload: Upload) -> Upload:
    """Cancel an upload; cancelling again changes nothing. Raise FileConflict if it has ended."""
    Upload.objects.filter(pk=upload.pk).move(UploadStatus.CANCELLED)
    upload.refresh_from_db()
    if upload.status != UploadStatus.CANCELLED:
        raise _has_ended(upload)
    drop_parts(UploadPart.objects.filter(upload=upload))
    return upload


def expire_uploads() -> int:
    """Expire overdue uploads and delete the parts of ended ones; return the number expired."""
    expired = Upload.objects.filter(expires_at__lte=Now()).move(UploadStatus.EXPIRED)
    ended = UploadPart.objects.exclude(upload__status=UploadStatus.PENDING)
    drop_parts(ended)
    forgotten = ended.filter(content="", upload__expires_at__lte=Now())
    UploadPart.objects.filter(pk__in=list(_some(forgotten))).delete()
    return expired


def drop_parts(parts: QuerySet[UploadPart]) -> None:
    """Delete the bytes of parts. Rows are updated last, so that an interruption is harmless."""
    for part in parts.exclude(content="")[:MAX_PARTS]:
        if part.content.name:
            part.content.storage.delete(part.content.name)
        UploadPart.objects.filter(pk=part.pk).update(content="")


def _some(parts: QuerySet[UploadPart]) -> QuerySet[UploadPart, int]:
    return parts.order_by("pk").values_list("pk", flat=True)[:PARTS_AT_ONCE]


def _pending(upload: Upload) -> UploadQuerySet:
    return Upload.objects.filter(pk=upload.pk, status=UploadStatus.PENDING, expires_at__gt=Now())


def _has_ended(upload: Upload) -> FileConflict:
    upload.refresh_from_db()
    status = UploadStatus.EXPIRED if upload.status == UploadStatus.PENDING else upload.status
    return FileConflict(f"This upload is {status}; begin another.")


def _check_room(upload: Upload, size: int) -> None:
    parts = UploadPart.objects.filter(upload=upload)
    if parts.count() >= MAX_PARTS:
        raise FileRefused(
            f"There are too many parts: an upload has at most {MAX_PARTS} parts.", param="data"
        )
    sent = parts.aggregate(sent=Sum("bytes"))["sent"] or 0
    if size > upload.bytes or sent + size > ROOM * upload.bytes:
        raise FileRefused(
            f"The 'data' is too long: {size} bytes, after {sent}. The upload was announced with "
            f"{upload.bytes} bytes.",
            param="data",
        )


def _parts_in_order(upload: Upload, part_ids: Sequence[str]) -> list[UploadPart]:
    """Return the parts with these ids, if they have the announced size. Raise FileRefused."""
    known = {part.public_id: part for part in UploadPart.objects.filter(upload=upload)}
    for number, part_id in enumerate(part_ids):
        if part_id not in known:
            param = f"part_ids[{number}]"
            expected = "Expected the id of a part of this upload."
            raise FileRefused(value_text(param, part_id, expected), param=param)
    if len(set(part_ids)) < len(part_ids):
        raise FileRefused(
            "The 'part_ids' name a part twice. Each can be used once.", param="part_ids"
        )
    parts = [known[part_id] for part_id in part_ids]
    total = sum(part.bytes for part in parts)
    if total != upload.bytes:
        raise FileRefused(
            f"The parts of 'part_ids' have {total} bytes; {upload.bytes} were announced.",
            param="part_ids",
        )
    return parts


def _make_file(upload: Upload, parts: Sequence[UploadPart], md5: str | None) -> None:
    new = NewFile(
        owner=upload.owner,
        purpose=upload.purpose,
        filename=upload.filename,
        expires_after_s=upload.file_expires_after_s,
    )
    with _joined(upload, parts) as (content, digest):
        if md5 is not None and md5.lower() != digest:
            expected = f"The MD5 of these parts is '{digest}'."
            raise FileRefused(value_text("md5", md5, expected), param="md5")
        check_content(new, content)
        file = new.row(upload.bytes)
        with stored(file.content, file.public_id, content), transaction.atomic():
            file.save(force_insert=True)
            if not _pending(upload).move(UploadStatus.COMPLETED, file=file):
                raise _Overtaken


@contextmanager
def _joined(
    upload: Upload, parts: Sequence[UploadPart]
) -> Iterator[tuple[TemporaryUploadedFile, str]]:
    """Yield one file with the bytes of the parts, and their MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with TemporaryUploadedFile(upload.filename, upload.mime_type, upload.bytes, None) as joined:
        for chunk in _chunks(parts):
            digest.update(chunk)
            joined.write(chunk)
        joined.seek(0)
        yield joined, digest.hexdigest()


def _chunks(parts: Sequence[UploadPart]) -> Iterator[bytes]:
    for part in parts:
        if not part.content:
            raise _Overtaken
        with part.content.open("rb") as source:
            yield from source.chunks(COPY_BYTES)
