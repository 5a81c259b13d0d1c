"""Read the parts of a workbook, which is a ZIP archive, and bound what they unpack to."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from posixpath import join, normpath
from typing import IO, Any, BinaryIO, cast

from batches.inputs.table_files.bounds import damaged, too_large
from batches.inputs.table_files.random_access import size_of
from batches.inputs.text_lines import UnreadableFile

WORKBOOK = "Excel workbook (.xlsx)"
REMEDY = "save it again in the spreadsheet, or as CSV"
# A workbook has few parts. The list of them is read at once.
MAX_DIRECTORY_BYTES = 1024 * 1024
# The parts beside the cells and their texts.
MAX_PART_BYTES = 16 * 1024 * 1024
PIECE_BYTES = 64 * 1024
# Others unpack without bounds.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_IS_ENCRYPTED = 1
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError),
    *(RuntimeError, ValueError),
)


class Archive:
    """The parts of an opened workbook, by their names without regard to case."""

    def __init__(self, file: BinaryIO) -> None:
        """Open a workbook. Raise UnreadableFile."""
        self.size = size_of(file)
        file.seek(0)
        if file.read(len(_OLD_OFFICE)) == _OLD_OFFICE:
            raise UnreadableFile(
                "The workbook is encrypted with a password, or has the format .xls: save it as "
                ".xlsx without a password."
            )
        with _explained():
            self._zip = zipfile.ZipFile(cast("IO[bytes]", _FewBytes(file, self.size)))
        self._parts = {_key(part.filename): part for part in self._zip.infolist()}

    def has(self, name: str) -> bool:
        return _key(name) in self._parts

    def pieces(self, name: str, *, most: int = MAX_PART_BYTES) -> Iterator[bytes]:
        """Yield the content of a part. Raise UnreadableFile if it unpacks to more than `most`."""
        part = self._parts.get(_key(name))
        if part is None:
            raise damaged(WORKBOOK, f"it has no part {name[:100]}", REMEDY)
        if part.flag_bits & _IS_ENCRYPTED or part.compress_type not in _METHODS:
            raise UnreadableFile(f"A part of the workbook is encrypted or packed oddly: {REMEDY}.")
        if part.file_size > most:
            what = f"The part {name[:100]} of the workbook unpacks to"
            raise too_large(what, part.file_size, most, "split the table, or save it as CSV")
        # No more than the named size is unpacked, whatever the archive holds.
        with _explained(), self._zip.open(part) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece


class _FewBytes:
    """A file of which only few bytes may be read at once, since an archive may ask for all."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.seek = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._file.tell() if size < 0 else size
        if wanted > MAX_DIRECTORY_BYTES:
            raise UnreadableFile(
                f"The list of the parts of the workbook has more than {MAX_DIRECTORY_BYTES:,} "
                f"bytes: {REMEDY}."
            )
        return self._file.read(max(wanted, 0))


def target_of(base: str, target: str) -> str:
    """Return the name of the part that another part links to."""
    path = target.replace("\\", "/")
    folder = base.rpartition("/")[0]
    return normpath(path if path.startswith("/") else join("/", folder, path)).lstrip("/")


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


@contextmanager
def _explained() -> Iterator[Any]:
    try:
        yield
    except _FAULTS as error:
        raise damaged(WORKBOOK, error, REMEDY) from error
