"""Files of users: bytes in the storage, and the row that names them.

The bytes are stored before their row and deleted after it, so that no row is without its bytes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.base import File as Bytes
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.fields.files import FieldFile
from django.db.models.functions import Now

from batches.engine.text.wording import quoted
from batches.inputs.prompt_files import NO_PROMPTS, NOT_LINES, begins_as_document
from batches.inputs.request_lines import LineRefused, parse_line
from batches.inputs.text_lines import Unreadable, first_line
from batches.lifecycle import BatchStatus
from batches.models import Batch, File, lease_end

UPLOAD_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH = "batch"

SHORTEST_LIFE_S = 3600
LONGEST_LIFE_S = 30 * 24 * 3600

MAX_FILENAME_CHARS = 255
# How many files one sweep deletes at most; the next one goes on.
EXPIRED_AT_ONCE = 1000

# Nothing is received for so long.
LEFTOVER_S = 24 * 3600


class FileRefused(Exception):
    """Something that makes no file; `param` is what was wrong of what was given."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class FileConflict(Exception):
    """A file or an upload that is not in a state for this; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is known of a file before its bytes: whose it is, what for, for how long."""

    owner: User
    purpose: str
    filename: str
    expires_after_s: int | None = None

    def row(self, size: int) -> File:
        life = self.expires_after_s
        return File(
            owner=self.owner,
            purpose=self.purpose,
            filename=self.filename,
            bytes=size,
            expires_at=None if life is None else lease_end(life),
        )


def unexpired() -> QuerySet[File]:
    """Files whose time is not over; the others are as good as deleted."""
    return File.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))


def store_file(new: NewFile, content: "Bytes[bytes]") -> File:
    """Store an uploaded file. Raises FileRefused; whatever goes wrong, nothing of it stays."""
    check_content(new.purpose, content)
    file = new.row(content.size or 0)
    with stored(file.content, file.public_id, content):
        file.save(force_insert=True)
    file.refresh_from_db()
    return file


@contextmanager
def stored(target: FieldFile, name: str, content: "Bytes[bytes]") -> Iterator[None]:
    """Bytes in the storage for a block that makes their row; if it fails, they are deleted."""
    # The name on the disk is ours: a user's could be anything.
    target.save(name, content, save=False)
    try:
        yield
    except BaseException:
        target.delete(save=False)
        raise


def delete_file(file: File) -> None:
    """Delete a file; the results of a batch stay, whatever becomes of its output files.

    Raises FileConflict while a batch is being made of it.
    """
    content = file.content
    with transaction.atomic():
        reader = Batch.objects.filter(input_file=file, status=BatchStatus.VALIDATING).first()
        if reader:
            raise FileConflict(
                f"{reader.public_id} is being made of this file; "
                "delete it when the batch is in progress, or cancel the batch."
            )
        if content.name:
            remove = partial(content.storage.delete, content.name)
            transaction.on_commit(remove, robust=True)
        file.delete()


def delete_expired_files() -> int:
    """Delete files whose time is over; how many. One that a batch is being made of is left."""
    deleted = 0
    for file in File.objects.filter(expires_at__lte=Now()).order_by("pk")[:EXPIRED_AT_ONCE]:
        try:
            delete_file(file)
        except FileConflict:
            continue
        deleted += 1
    return deleted


def remove_leftovers() -> None:
    """Remove what processes that were killed while they received a file have left."""
    long_ago = time.time() - LEFTOVER_S
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir():
        # Somebody else may remove it at the same time.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < long_ago:
                path.unlink()


def check_content(purpose: str, content: "Bytes[bytes]") -> None:
    """Refuse what is empty, and what cannot be the input of a batch. Raises FileRefused."""
    if not content.size:
        raise FileRefused(
            "The 'file' is empty: it has 0 bytes. Give a file with content.", param="file"
        )
    if purpose == BATCH:
        _check_beginning(content)


def safe_filename(text: str) -> str:
    """A name to show and to offer for saving: no path, nothing invisible. Raises FileRefused."""
    last = text.replace("\\", "/").rpartition("/")[2]
    name = "".join(char for char in last if char.isprintable()).strip()[:MAX_FILENAME_CHARS]
    if name in ("", ".", ".."):
        raise FileRefused(
            f"Invalid value for 'filename': {quoted(text)}. Give the file a name of its own.",
            param="filename",
        )
    return name


def _check_beginning(content: "Bytes[bytes]") -> None:
    """Refuse a file whose first line is no object; the worker that reads it checks the rest."""
    content.seek(0)
    try:
        line = first_line(cast("BinaryIO", content), settings.MAX_LINE_BYTES)
        # A line too long to tell is named by the batch.
        if line == "":
            raise _no_input(NO_PROMPTS)
        if line is not None and begins_as_document(line):
            raise _no_input(NOT_LINES)
        if line is not None:
            parse_line(line)
    except Unreadable as error:
        raise _no_input(error.message) from error
    except LineRefused as error:
        raise _no_input(error.faults[0][1]) from error
    finally:
        content.seek(0)


def _no_input(reason: str) -> FileRefused:
    rule = "Invalid file format for a batch: 'file' must be .jsonl, a JSON object on each line."
    return FileRefused(f"{rule} {reason}", param="file")
