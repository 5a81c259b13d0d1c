"""Files of users: the bytes in the storage, and a row for them.

The bytes are stored before the row and deleted after it, so that no row lacks its bytes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from django.core.files.base import File as Bytes
from django.db.models import Q, QuerySet
from django.db.models.fields.files import FieldFile
from django.db.models.functions import Now

from batches.conf import conf
from batches.database import transaction
from batches.engine.text.wording import quoted
from batches.inputs.file_kinds import table_file_fault
from batches.inputs.input_formats import TABLE_FILES, TABLES, InputFormat, named_format
from batches.inputs.prompt_files import NOT_LINES, begins_as_document
from batches.inputs.prompts import NO_PROMPTS
from batches.inputs.request_lines import LineRefused, parse_line
from batches.inputs.text_lines import UnreadableFile, first_line, unpacked_pieces
from batches.lifecycle import BatchStatus
from batches.models import Batch, File, lease_end
from batches.users import User

BATCH = "batch"

SHORTEST_LIFE_S = 3600
LONGEST_LIFE_S = 30 * 24 * 3600

MAX_FILENAME_CHARS = 255
# The most files that one sweep deletes; the next sweep continues.
EXPIRED_AT_ONCE = 1000

# No upload takes longer than this.
LEFTOVER_S = 24 * 3600
# The folder in DATA_DIR to which uploads are written first.
INCOMING = "incoming"


class FileRefused(Exception):
    """An upload was refused; `param` names the parameter at fault."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class FileConflict(Exception):
    """The state of a file or an upload does not allow this; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A new file before its bytes are stored: owner, purpose, name and lifetime."""

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
    """Return files that have not expired; expired files count as deleted."""
    return File.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))


def store_file(new: NewFile, content: "Bytes[bytes]") -> File:
    """Store an uploaded file. Raise FileRefused; after any error, nothing of it is left."""
    check_content(new, content)
    file = new.row(content.size or 0)
    with stored(file.content, file.public_id, content):
        file.save(force_insert=True)
    file.refresh_from_db()
    return file


@contextmanager
def stored(target: FieldFile, name: str, content: "Bytes[bytes]") -> Iterator[None]:
    """Store bytes for a block that creates their row; if the block fails, delete them."""
    # Use our own name on the disk: a name from a user may be hostile.
    target.save(name, content, save=False)
    try:
        yield
    except BaseException:
        target.delete(save=False)
        raise


def delete_file(file: File) -> None:
    """Delete a file; the results of a batch stay, even if its output files are deleted.

    Raise FileConflict while a batch is being created from it.
    """
    content = file.content
    with transaction.atomic():
        reader = Batch.objects.filter(input_file=file, status=BatchStatus.VALIDATING).first()
        if reader:
            raise FileConflict(
                f"{reader.public_id} is being created from this file; "
                "delete it when the batch is in progress, or cancel the batch."
            )
        if content.name:
            remove = partial(content.storage.delete, content.name)
            transaction.on_commit(remove, robust=True)
        file.delete()


def delete_expired_files() -> int:
    """Delete expired files, except inputs that are being read; return the number deleted."""
    deleted = 0
    for file in File.objects.filter(expires_at__lte=Now()).order_by("pk")[:EXPIRED_AT_ONCE]:
        try:
            delete_file(file)
        except FileConflict:
            continue
        deleted += 1
    return deleted


def remove_leftovers() -> None:
    """Remove temporary files of processes that were killed during an upload.

    Only in the app's own folder: another folder may hold files of other programs.
    """
    folder = conf().DATA_DIR
    if folder is None or not (folder / INCOMING).is_dir():
        return
    long_ago = time.time() - LEFTOVER_S
    for path in (folder / INCOMING).iterdir():
        # Another process may remove it at the same time.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < long_ago:
                path.unlink()


def check_content(new: NewFile, content: "Bytes[bytes]") -> None:
    """Raise FileRefused for an empty file, or one that cannot be the input of a batch."""
    if not content.size:
        raise FileRefused(
            "The 'file' is empty: it has 0 bytes. Give a file with content.", param="file"
        )
    if new.purpose == BATCH:
        _check_beginning(content, named_format(new.filename))


def safe_filename(text: str) -> str:
    """Return a name for display and download, without path and invisible characters.

    Raise FileRefused if nothing is left of it.
    """
    last = text.replace("\\", "/").rpartition("/")[2]
    name = "".join(char for char in last if char.isprintable()).strip()[:MAX_FILENAME_CHARS]
    if name in ("", ".", ".."):
        raise FileRefused(
            f"Invalid value for 'filename': {quoted(text)}. Give the file a name of its own.",
            param="filename",
        )
    return name


def _check_beginning(content: "Bytes[bytes]", named: InputFormat | None) -> None:
    """Refuse a file without text, or without an object on its first line if it is not a table; and
    a table of another kind than its name says.

    The worker checks the rest.
    """
    content.seek(0)
    try:
        if named in TABLE_FILES:
            head, _ = unpacked_pieces(cast("BinaryIO", content))
            if fault := table_file_fault(head, named):
                raise _no_input(fault)
            return
        line = first_line(cast("BinaryIO", content), conf().MAX_LINE_BYTES)
        # If the line is too long to be checked here, the batch reports it.
        if line == "":
            raise _no_input(NO_PROMPTS)
        if line is None or named in TABLES:
            return
        if begins_as_document(line):
            raise _no_input(NOT_LINES)
        parse_line(line)
    except UnreadableFile as error:
        raise _no_input(error.message) from error
    except LineRefused as error:
        raise _no_input(error.faults[0][1]) from error
    finally:
        content.seek(0)


def _no_input(reason: str) -> FileRefused:
    rule = (
        "Invalid file format for a batch: 'file' must be .jsonl, a JSON object on each line, or a "
        "table with a name in .csv, .tsv, .xlsx or .parquet, for a 'template'."
    )
    return FileRefused(f"{rule} {reason}", param="file")
