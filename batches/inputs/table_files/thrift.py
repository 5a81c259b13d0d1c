"""Read the records that Parquet keeps beside its data, in the compact protocol of Thrift.

Only whole numbers, records and lists of records are kept; texts and all else are passed over.
"""

from typing import Any

# The types of fields, and the most levels of records.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = range(1, 9)
_LIST, _SET, _MAP, _STRUCT = range(9, 13)
MAX_DEPTH = 16
_LONG_LIST = 15
MAX_VARINT_BYTES = 10


class NotThrift(Exception):
    """The bytes are no record."""


class RecordReader:
    """Reads records from bytes. Raises NotThrift, or IndexError if the bytes end too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def record(self, *, until: int | None = None, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a record by their numbers; with `until`, only up to this field."""
        if depth > MAX_DEPTH:
            raise NotThrift("records are nested too deep")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number in fields:
                raise NotThrift("a field comes twice")
            fields[number] = self._value(kind, depth)
            if number == until:
                break
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _STRUCT:
            return self.record(depth=depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _BINARY:
            self._pass(self._varint())
        elif kind == _BYTE:
            self._pass(1)
        elif kind == _DOUBLE:
            self._pass(8)
        else:
            raise NotThrift(f"a field has the type {kind}")
        return None

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4
        if size == _LONG_LIST:
            size = self._varint()
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            # In a list, a boolean has a byte of its own.
            kind = _BYTE
        if size > len(self._data) - self.place:
            raise IndexError
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _signed(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for step in range(MAX_VARINT_BYTES):
            byte = self._byte()
            number |= (byte & 127) << (7 * step)
            if byte < 128:
                return number
        raise NotThrift("a number is too long")

    def _byte(self) -> int:
        byte = self._data[self.place]
        self.place += 1
        return byte

    def _pass(self, size: int) -> None:
        self.place += size
        if self.place > len(self._data):
            raise IndexError
