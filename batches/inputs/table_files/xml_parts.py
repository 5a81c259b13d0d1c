"""Parse the XML of a workbook as a stream: no document types, no entities, bounded depth."""

from collections.abc import Iterable, Iterator
from typing import Protocol
from xml.parsers import expat

from batches.inputs.table_files.archive import REMEDY, WORKBOOK
from batches.inputs.table_files.bounds import damaged
from batches.inputs.text_lines import UnreadableFile

# The parser keeps an unfinished tag, and each name of an element or attribute.
MAX_TAG_BYTES = 4 * 1024 * 1024
MAX_NAMES = 10_000
MAX_DEPTH = 100


class PartReader(Protocol):
    """Receives the elements of a part. Names are without the prefix of their namespace."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def text(self, text: str) -> None: ...

    def end(self, name: str) -> None: ...


def parsed(pieces: Iterable[bytes], reader: PartReader) -> Iterator[None]:
    """Parse the pieces of a part, and yield after each of them. Raise UnreadableFile."""
    parser = expat.ParserCreate()
    handlers = _Handlers(reader)
    parser.buffer_text = True
    parser.StartElementHandler = handlers.start
    parser.EndElementHandler = handlers.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    fed = 0
    try:
        for piece in pieces:
            parser.Parse(piece, False)  # noqa: FBT003 - positional only
            fed += len(piece)
            if fed - parser.CurrentByteIndex > MAX_TAG_BYTES or len(parser.intern) > MAX_NAMES:
                raise _odd("its tags are too long or too many")
            yield
        parser.Parse(b"", True)  # noqa: FBT003 - positional only
    except expat.ExpatError as error:
        raise damaged(WORKBOOK, error, REMEDY) from error
    yield


class _Handlers:
    """Calls a reader with the names of elements, and bounds their depth."""

    def __init__(self, reader: PartReader) -> None:
        self._start, self._end = reader.start, reader.end
        self._depth = 0
        self._names: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _odd("its elements are nested too deep")
        self._start(self._names.get(name) or self._local(name), attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._end(self._names.get(name) or self._local(name))

    def _local(self, name: str) -> str:
        local = name.rpartition(":")[2]
        if len(self._names) < MAX_NAMES:
            self._names[name] = local
        return local


def _refuse_doctype(*_: object) -> None:
    raise _odd("it has a document type")


def _odd(reason: str) -> UnreadableFile:
    return damaged(WORKBOOK, reason, REMEDY)
