"""Bound what a Parquet file unpacks to by the headers of its pages, before Arrow reads them.

The sizes in the footer may lie. Arrow makes room for what the header of each page says, and the
levels of a page of lists are unpacked at once.
"""

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from batches.inputs.table_files.bounds import damaged, too_large
from batches.inputs.table_files.random_access import size_of
from batches.inputs.table_files.thrift import NotThrift, RecordReader
from batches.inputs.text_lines import UnreadableFile

PARQUET = "Parquet file"
REMEDY = "write it again, or give a CSV"
MAGIC, ENCRYPTED = b"PAR1", b"PARE"
# The length of the footer and the magic behind it.
_TAIL_BYTES = 8
# A footer takes many times its size in memory.
MAX_FOOTER_BYTES = 8 * 1024 * 1024
MAX_SCHEMA_DEPTH = 32
# The pages of all columns that are unpacked at one moment.
MAX_PAGES_BYTES = 128 * 1024 * 1024
# The values of lists in a row group.
MAX_LISTED_VALUES = 32_000_000
MAX_PAGES = 1_000_000
# Headers have the least and the greatest value of a page.
_HEADER_BYTES, _MAX_HEADER_BYTES = 4096, 16 * 1024 * 1024
_DATA, _INDEX, _DICTIONARY, _DATA_2 = range(4)
# Others repeat the beginnings of texts, or have a number of texts that the header does not tell.
_ENCODINGS = frozenset({0, 2, 3, 4, 5, 8, 9})
_ENCODING_FIELDS = {_DATA: (5, 2), _DATA_2: (8, 4)}
SMALLER = "write the file again with smaller row groups, such as 10,000 rows"


def check_ends(file: BinaryIO) -> None:
    """Raise UnreadableFile for a file that does not begin and end as Parquet does."""
    size = size_of(file)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise UnreadableFile(
            "The Parquet file is encrypted: write it without encryption."
            if size and _read(file, 0, len(MAGIC)) == ENCRYPTED
            else "The file is no Parquet file: it does not begin with PAR1."
        )
    tail = _read(file, max(size - _TAIL_BYTES, 0), _TAIL_BYTES)
    if size < 2 * len(MAGIC) + 4 or not tail.endswith(MAGIC):
        raise damaged(PARQUET, "it does not end with PAR1", "give the whole file")
    [footer] = struct.unpack("<I", tail[:4])
    if footer > MAX_FOOTER_BYTES:
        what = "The footer of the Parquet file has"
        raise too_large(what, footer, MAX_FOOTER_BYTES, "write it with fewer row groups or columns")
    if footer > size - _TAIL_BYTES - len(MAGIC):
        raise damaged(PARQUET, "its footer is longer than the file", "give the whole file")
    _check_depth(_read(file, size - _TAIL_BYTES - footer, footer))


def unpacked_bytes(file: BinaryIO, metadata: Any, group: int) -> int:
    """Return what the pages of a row group unpack to. Raise UnreadableFile if that is too much."""
    size = size_of(file)
    whole = at_once = 0
    row_group = metadata.row_group(group)
    for number in range(metadata.num_columns):
        is_list = metadata.schema.column(number).max_repetition_level > 0
        pages = _pages_of(file, row_group.column(number), size)
        if is_list and pages.values > MAX_LISTED_VALUES:
            what = f"The lists of row group {group + 1} of the Parquet file have"
            text = f"{what} {pages.values:,} values. The most is {MAX_LISTED_VALUES:,}: {SMALLER}."
            raise UnreadableFile(text)
        whole += pages.bytes
        at_once += pages.largest
    if at_once > MAX_PAGES_BYTES:
        what = f"The pages of row group {group + 1} of the Parquet file unpack to"
        raise too_large(what, at_once, MAX_PAGES_BYTES, SMALLER)
    return whole


@dataclass(slots=True)
class _Pages:
    """The unpacked bytes of all pages of a column, of the pages held at once, and their values."""

    bytes: int = 0
    largest: int = 0
    values: int = 0


def _pages_of(file: BinaryIO, column: Any, size: int) -> _Pages:
    place = column.data_page_offset
    dictionary = column.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < place:
        place = dictionary
    end = place + column.total_compressed_size
    if not 0 < place <= end <= size:
        raise damaged(PARQUET, "a column lies outside of the file", "give the whole file")
    found = _Pages()
    texts = page = 0
    for _ in range(MAX_PAGES):
        if place >= end:
            found.largest = texts + page
            return found
        header, length = _header_at(file, place, end)
        kind, unpacked, packed = (header.get(field, -1) for field in (1, 2, 3))
        if unpacked < 0 or packed < 0:
            raise damaged(PARQUET, "a page has no size", REMEDY)
        found.bytes += unpacked
        if kind == _DICTIONARY:
            texts = max(texts, unpacked)
        else:
            page = max(page, unpacked)
        found.values += _values_of(kind, header)
        place += length + packed
    raise UnreadableFile(f"A column of the Parquet file has more than {MAX_PAGES:,} pages.")


def _values_of(kind: int, header: dict[int, Any]) -> int:
    """Return the number of values of a page. Raise UnreadableFile for an unbounded encoding."""
    if kind not in _ENCODING_FIELDS:
        return 0
    field, encoding = _ENCODING_FIELDS[kind]
    data = header.get(field) or {}
    if data.get(encoding) not in _ENCODINGS:
        raise UnreadableFile(
            "The Parquet file has texts in a delta encoding: write it again in the plain or "
            "dictionary encoding, which is the default of most programs."
        )
    return int(data.get(1, 0))


def _header_at(file: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """Return the header of a page, and its length."""
    most = _HEADER_BYTES
    while True:
        reader = RecordReader(_read(file, place, min(most, end - place)))
        try:
            return reader.record(), reader.place
        except IndexError:
            if most >= min(_MAX_HEADER_BYTES, end - place):
                raise damaged(PARQUET, "a page has no header", REMEDY) from None
            most *= 16
        except NotThrift as error:
            raise damaged(PARQUET, error, REMEDY) from error


def _check_depth(footer: bytes) -> None:
    """Raise UnreadableFile if columns are nested too deep, for which Arrow has no bound."""
    try:
        # The schema is a list of elements, each with the number of its children.
        schema = RecordReader(footer).record(until=2).get(2) or []
        left: list[int] = []
        for element in schema:
            children = element.get(5) or 0
            if left:
                left[-1] -= 1
            if children > 0:
                left.append(children)
            while left and left[-1] == 0 and children <= 0:
                left.pop()
            if len(left) > MAX_SCHEMA_DEPTH:
                raise UnreadableFile(
                    f"The columns of the Parquet file are nested more than {MAX_SCHEMA_DEPTH} "
                    "levels deep: write nested values as strings of JSON."
                )
    except (IndexError, NotThrift, AttributeError, TypeError) as error:
        raise damaged(PARQUET, "its footer cannot be read", REMEDY) from error


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
