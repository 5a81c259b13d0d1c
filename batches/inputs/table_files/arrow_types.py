"""Turn the columns of Arrow into cells, and cells into columns of the type that they had."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite, isnan
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batches.engine.text.wording import quoted
from batches.inputs.tables import Cell, cell_text
from batches.inputs.text_lines import UnreadableFile

# The most values of a list in one cell.
MAX_LISTED = 1_000_000
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.+)\]")
_DECIMAL = re.compile(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)")
_DIGITS_BELOW_SECOND = {"s": 0, "ms": 3, "us": 6, "ns": 9}
# A time without a fraction of a second.
_WHOLE_SECOND = r"\.0+(Z?)$"


class CellFault(Exception):
    """A cell cannot be used; the message is a sentence about it, without its column."""


def check_column(name: str, kind: pa.DataType) -> None:
    """Raise UnreadableFile for a column whose values have no form in a cell."""
    for part in _parts(kind):
        if _holds_bytes(part):
            raise UnreadableFile(
                f"The column {quoted(name)} holds bytes ({part}), in every row from row 1 on: "
                "leave the column out, or write it as text."
            )
        if not _is_known(part):
            raise UnreadableFile(
                f"The column {quoted(name)} has the type {str(part)[:100]}, which is not "
                "supported: leave the column out, or write it as text."
            )


def kept_type(kind: pa.DataType) -> str:
    """Return the type of a column as text, for the output; "" if its cells are written as text."""
    plain = _plain_type(kind)
    return "" if _is_nested(plain) or _is_text(plain) or pa.types.is_null(plain) else str(plain)


def type_of(text: str) -> pa.DataType:
    """Return the type that `kept_type` named; text for any other name."""
    if found := _TIMESTAMP.fullmatch(text):
        return pa.timestamp(found[1], tz=found[2])
    if found := _DECIMAL.fullmatch(text):
        make = {"32": pa.decimal32, "64": pa.decimal64, "128": pa.decimal128, "256": pa.decimal256}
        return make[found[1]](int(found[2]), int(found[3]))
    try:
        return pa.type_for_alias(text) if text else pa.string()
    except ValueError:
        return pa.string()


def cells_of(array: pa.Array, most: int) -> Iterator[Cell | CellFault]:
    """Yield the cells of a column; a nested value is JSON text of up to `most` characters.

    NaN is null. Texts that are equal are one object; nested values are made one by one.
    """
    if _is_nested(_plain_type(array.type)):
        return (_json_of(array.slice(row, 1), most) for row in range(len(array)))
    return iter(_plain_cells(array))


def array_of(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column of cells that `cells_of` made of this type. Raise ArrowException, TypeError
    or ValueError for cells that do not fit."""
    if _is_text(kind):
        return pa.array([None if c is None else cell_text(c) for c in cells], kind)
    if pa.types.is_time(kind):
        whole = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return pa.array([None if c is None else _ticks(c, kind) for c in cells], whole).cast(kind)
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.array(cells, pa.string()).cast(pa.timestamp(kind.unit, tz="UTC")).cast(kind)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return pa.array(cells, pa.string()).cast(kind)
    return pa.array(cells, kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    return _plain_type(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _parts(kind: pa.DataType) -> list[pa.DataType]:
    """Return the types of the values in a column, nested ones too."""
    plain = _plain_type(kind)
    if pa.types.is_map(plain):
        return [*_parts(plain.key_type), *_parts(plain.item_type)]
    if pa.types.is_struct(plain):
        return [part for n in range(plain.num_fields) for part in _parts(plain.field(n).type)]
    return _parts(plain.value_type) if _is_list(plain) else [plain]


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return _is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _is_known(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        _is_text(kind)
        or types.is_null(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_date(kind)
        or types.is_time(kind)
        or types.is_timestamp(kind)
    )


def _plain_cells(array: pa.Array) -> list[Any]:
    """Return the cells of a column without nested values."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_cells(array.storage)
    if pa.types.is_dictionary(kind):
        return _looked_up(array)
    if _is_text(kind):
        return _texts(array)
    if pa.types.is_floating(kind):
        return _numbers(array)
    cells: list[Any] = _as_json(array).to_pylist()
    return cells


def _as_json(array: pa.Array) -> pa.Array:
    """Return a column with texts for the values that JSON does not have."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        moments = array.cast(pa.timestamp(kind.unit, tz="UTC")) if kind.tz else array
        texts = pc.cast(moments, pa.string())
        return _without_fraction(pc.replace_substring(texts, " ", "T", max_replacements=1))
    if pa.types.is_time(kind):
        return _without_fraction(pc.cast(array, pa.string()))
    if pa.types.is_decimal(kind) or pa.types.is_date(kind):
        return pc.cast(array, pa.string())
    return array


def _without_fraction(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, _WHOLE_SECOND, r"\1")


def _looked_up(array: pa.Array) -> list[Any]:
    """Return the values of a dictionary's indices: only the used ones become objects."""
    used = pc.unique(array.indices).drop_null()
    cells = dict(zip(used.to_pylist(), _plain_cells(array.dictionary.take(used)), strict=True))
    return [cells.get(index) for index in array.indices.to_pylist()]


def _texts(array: pa.Array) -> list[Any]:
    try:
        texts: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        return [_text(value) for value in array.cast(pa.large_binary()).to_pylist()]
    return texts


def _text(value: bytes | None) -> str | CellFault | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return CellFault("has bytes that are not UTF-8: write the column as text in UTF-8")


def _numbers(array: pa.Array) -> list[Any]:
    if pa.types.is_float64(array.type):
        numbers = array.to_pylist()
    else:
        # The shortest number that is read as the same one, such as 0.1.
        texts = pc.cast(array.cast(pa.float32()), pa.string()).to_pylist()
        numbers = [None if text is None else float(text) for text in texts]
    return [_number(number) for number in numbers]


def _number(number: float | None) -> float | CellFault | None:
    if number is None or isnan(number):
        return None
    if not isfinite(number):
        return CellFault("has an infinite number, which JSON does not have: write null instead")
    return number


def _json_of(array: pa.Array, most: int) -> str | CellFault | None:
    """Return the nested value of an array of one row as JSON text."""
    if not array.is_valid()[0].as_py():
        return None
    if _values_in(array) > MAX_LISTED:
        return CellFault(f"has a list of more than {MAX_LISTED:,} values: shorten it")
    try:
        [value] = _nested_values(array)
        if _size_of(value, most) > most:
            return CellFault(f"is longer than {most} bytes (MAX_LINE_BYTES)")
    except CellFault as fault:
        return fault
    return json.dumps(value, ensure_ascii=False)


def _values_in(array: pa.Array) -> int:
    plain = _plain_type(array.type)
    if not _is_nested(plain):
        return len(array)
    return len(array) + sum(map(_values_in, _children(array)))


def _children(array: pa.Array) -> list[pa.Array]:
    """Return the columns within a nested column, without what lies outside of a slice."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _children(array.storage)
    if pa.types.is_map(array.type):
        begin, end = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        return [part.slice(begin, end - begin) for part in (array.keys, array.items)]
    if pa.types.is_struct(array.type):
        return list(array.flatten())
    return [array.flatten()]


def _nested_values(array: pa.Array) -> list[Any]:
    """Return the values of a column as lists, dictionaries and cells. Raise CellFault."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _nested_values(array.storage)
    if not _is_nested(_plain_type(array.type)):
        return [_sure(cell) for cell in _plain_cells(array)]
    parts = [_nested_values(child) for child in _children(array)]
    is_there = array.is_valid().to_pylist()
    if pa.types.is_struct(array.type):
        names = [array.type.field(n).name for n in range(array.type.num_fields)]
        rows = zip(*parts, strict=True) if parts else ((),) * len(array)
        values: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
    elif pa.types.is_map(array.type):
        pairs = zip(map(cell_text, parts[0]), parts[1], strict=True)
        values = [dict(part) for part in _split(list(pairs), array)]
    else:
        values = _split(parts[0], array)
    return [value if there else None for value, there in zip(values, is_there, strict=True)]


def _split(values: list[Any], array: pa.Array) -> list[list[Any]]:
    """Return the values of the lists of a column, for each list its own."""
    if pa.types.is_map(array.type):
        offsets = array.offsets.to_pylist()
        lengths = [end - begin for begin, end in pairwise(offsets)]
    else:
        lengths = [length or 0 for length in pc.list_value_length(array).to_pylist()]
    lists, place = [], 0
    for length in lengths:
        lists.append(values[place : place + length])
        place += length
    return lists


def _sure(cell: Any) -> Any:
    if isinstance(cell, CellFault):
        raise cell
    return cell


def _size_of(value: Any, most: int) -> int:
    """Return the least size of a value as JSON; stop once it is more than `most`."""
    size, open_ = 0, [value]
    while open_ and size <= most:
        item = open_.pop()
        size += len(item) if isinstance(item, str) else 1
        if isinstance(item, dict):
            open_ += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            open_ += item
    return size


def _ticks(text: str, kind: pa.DataType) -> int:
    """Return a time of day such as 12:30:00.5 in the unit of its type."""
    clock, _, fraction = text.partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    digits = _DIGITS_BELOW_SECOND[str(kind.unit)]
    whole = (hours * 60 + minutes) * 60 + seconds
    return whole * int(10**digits) + int(fraction.ljust(digits, "0")[:digits] or 0)
