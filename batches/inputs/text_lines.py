"""Read files as numbered lines of text: unpacked, in UTF-8, one line in memory at a time."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from batches.inputs.encodings import UTF8_BOM, WESTERN, encoding_of, western_text
from batches.inputs.file_kinds import kind_of

HEAD_BYTES = 4096
PIECE_BYTES = 32 * 1024

GZIP = b"\x1f\x8b"
# Repetitive texts are compressed to a 300th. A file that unpacks to much more was made to fill
# disks. Small files are not checked.
MOST_TIMES_UNPACKED = 500
SMALL_BYTES = 16 * 1024 * 1024


# Half of a surrogate pair, as a careless writer encodes it in UTF-8.
_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


class UnreadableFile(Exception):
    """A file or a line is not readable as text; the message names the remedy."""

    def __init__(self, message: str, code: str = "invalid_file") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read, and the reason."""

    number: int
    code: str
    message: str


class TextLines:
    """The lines of a file as text, numbered from 1, with their ends.

    A line that is too long or cannot be decoded is a BadLine; so is the error of a file that cannot
    be read further. `assumed` is the guessed encoding, if any.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int, *, in_lines: bool = True) -> None:
        self.assumed: str | None = None
        self._stream = utf8_stream(stream, in_lines=in_lines)
        self._max_bytes = max_bytes
        self._is_utf8 = False

    def __iter__(self) -> Iterator[tuple[int, str] | BadLine]:
        number = 1
        try:
            while raw := self._stream.readline(self._max_bytes + 1):
                yield self._line(number, raw)
                number += 1
        except UnreadableFile as error:
            yield BadLine(number, error.code, error.message)

    def first(self) -> str | None:
        """Return the first line, as `first_line` does."""
        left = self._max_bytes
        while raw := self._stream.readline(left + 1):
            left -= len(raw)
            if left < 0:
                return None
            text = self._decoded(raw.removeprefix(UTF8_BOM))
            if text.strip():
                return text
        return ""

    def _line(self, number: int, raw: bytes) -> tuple[int, str] | BadLine:
        if len(raw) > self._max_bytes:
            self._pass_over(raw)
            message = f"The line is longer than {self._max_bytes} bytes (MAX_LINE_BYTES)."
            return BadLine(number, "invalid_line", message)
        if number == 1:
            raw = raw.removeprefix(UTF8_BOM)
        try:
            return number, self._decoded(raw)
        except UnreadableFile as error:
            return BadLine(number, error.code, error.message)

    def _pass_over(self, raw: bytes) -> None:
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(self._max_bytes)

    def _decoded(self, raw: bytes) -> str:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            text = self._western(raw, error)
        else:
            if not text.isascii():
                self._check_not_mixed()
        return text

    def _western(self, raw: bytes, error: UnicodeDecodeError) -> str:
        """Return the text of a line in Windows-1252, which Excel writes if UTF-8 is not chosen.

        Refuse it after lines in UTF-8 or if it is unclear: letters would be wrong.
        """
        half = _HALF.search(raw)
        if half:
            raise UnreadableFile(_half_fault(half.start()), "invalid_encoding")
        text = None if self._is_utf8 else western_text(raw)
        if text is None:
            raise UnreadableFile(_encoding_fault(raw, error), "invalid_encoding")
        self.assumed = WESTERN
        return text

    def _check_not_mixed(self) -> None:
        if self.assumed:
            message = "The line is in UTF-8, but lines before it are in Windows-1252. "
            raise UnreadableFile(f"{message}Save the whole file as UTF-8.", "invalid_encoding")
        self._is_utf8 = True


def first_line(stream: BinaryIO, max_bytes: int) -> str | None:
    """Return the first non-blank line, or "" if there is none.

    Return None if the line does not end within `max_bytes` bytes. Raise Unreadable.
    """
    return TextLines(stream, max_bytes).first()


def utf8_stream(stream: BinaryIO, *, in_lines: bool = True) -> io.BufferedReader:
    """Return the text of a file as a UTF-8 stream, unpacked and converted from its encoding.

    Reading the stream raises Unreadable for a file that is not text.
    """
    return io.BufferedReader(_Pieces(_utf8_pieces(stream, in_lines=in_lines)), PIECE_BYTES)


class _Pieces(io.RawIOBase):
    """A stream of bytes that are produced in pieces while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def unpacked_pieces(stream: BinaryIO) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a file, and the whole of it in pieces, unpacked if it is gzip."""
    head, pieces = _with_head(iter(lambda: stream.read(PIECE_BYTES), b""))
    if head.startswith(GZIP):
        head, pieces = _with_head(_unpacked(pieces))
        if head.startswith(GZIP):
            raise UnreadableFile("The file is compressed with gzip twice: unpack it once.")
    return head, pieces


def _utf8_pieces(stream: BinaryIO, *, in_lines: bool) -> Iterator[bytes]:
    head, pieces = unpacked_pieces(stream)
    kind = kind_of(head, in_lines=in_lines)
    if kind is not None:
        raise UnreadableFile(str(kind))
    head, pieces = _with_head(_recoded(pieces, encoding_of(head)))
    # Line ends of old Macs, which Excel still writes in "CSV (Macintosh)".
    if b"\r" in head[:-1] and b"\n" not in head:
        pieces = (piece.replace(b"\r", b"\n") for piece in pieces)
    yield from pieces


def _with_head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a file, and the whole of it."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    return head[:HEAD_BYTES], chain((head,), pieces)


def _recoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from pieces
        return
    # Let half of a pair pass here: its line is decoded strictly later, and gets the error.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        is_cut = "truncated" in error.reason
        fault = "ends in the middle of a character" if is_cut else "has an invalid character"
        message = f"The file {fault} of {encoding.upper()}. Save it as UTF-8."
        raise UnreadableFile(message, "invalid_encoding") from error


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the unpacked content of a gzip file in pieces; a file may have several members."""
    packed = unpacked = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for piece in pieces:
            packed += len(piece)
            yield piece

    stream = gzip.GzipFile(fileobj=io.BufferedReader(_Pieces(counted()), PIECE_BYTES))
    try:
        while data := stream.read(PIECE_BYTES):
            unpacked += len(data)
            if unpacked > max(SMALL_BYTES, packed * MOST_TIMES_UNPACKED):
                raise _bomb(packed)
            yield data
    except EOFError as error:
        raise UnreadableFile("The gzip file is truncated: send the whole file.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFile("The gzip file is damaged: compress the text again.") from error


def _bomb(packed: int) -> UnreadableFile:
    return UnreadableFile(
        f"The gzip file unpacks to more than {MOST_TIMES_UNPACKED} times its {packed} bytes, which "
        "no file of prompts does: unpack it and give the text."
    )


def _half_fault(place: int) -> str:
    return (
        f"The line has half of a surrogate pair at byte {place + 1}, which is not a character. "
        "Remove it, or give the whole character."
    )


def _encoding_fault(raw: bytes, error: UnicodeDecodeError) -> str:
    return (
        f"The line is not UTF-8: byte {raw[error.start]:#04x} at position {error.start + 1}, and "
        'its encoding is unclear. Save the file as UTF-8 (in Excel: "CSV UTF-8").'
    )
