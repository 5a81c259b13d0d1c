"""Cache what is made from JSON Schemas, one entry for equal texts, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from batches.engine.errors import PromptRejected

T = TypeVar("T")

# A schema with more characters takes long enough to delay the other threads of its process.
LARGE_CHARS = 16 * 1024
# Memory of a model: bytes per character of its schema, as measured, and the minimum.
BYTES_PER_CHAR = 40
LEAST_BYTES = 8 * 1024

# Python threads take turns. Large schemas are made one at a time, so that an event loop never waits
# for more than one of them, regardless of the number of batches.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """The result for a schema: a value, or the error for which the schema was rejected."""

    bytes: int
    value: T | None = None
    refusal: PromptRejected | None = None

    def result(self) -> T:
        if self.refusal is not None:
            raise _copy(self.refusal)
        assert self.value is not None  # noqa: S101 - either the value or the refusal is set
        return self.value


class SchemaCache(Generic[T]):
    """Calls `make` once for each text, also if it rejects the text. Thread-safe.

    `more_bytes` returns the memory of a value in addition to the estimate from its text. The least
    recently used values are dropped when all values take more than `most_bytes`.
    """

    def __init__(
        self,
        make: Callable[[str], T],
        *,
        most_bytes: int,
        more_bytes: Callable[[T], int] = lambda _: 0,
    ) -> None:
        self._make = make
        self._most_bytes = most_bytes
        self._more_bytes = more_bytes
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> T:
        """Return the value of a text. Raise PromptRejected."""
        kept = self._find(text)
        if kept is None:
            with _turn(text):
                # Another thread may have made the value while this thread waited.
                kept = self._find(text) or self._keep(text, self._made_of(text))
        return kept.result()

    def _find(self, text: str) -> _Kept[T] | None:
        with self._lock:
            kept = self._kept.get(text)
            if kept is not None:
                self._kept.move_to_end(text)
            return kept

    def _made_of(self, text: str) -> _Kept[T]:
        size = LEAST_BYTES + BYTES_PER_CHAR * len(text)
        try:
            value = self._make(text)
        except PromptRejected as error:
            return _Kept(size, refusal=_copy(error))
        return _Kept(size + self._more_bytes(value), value=value)

    def _keep(self, text: str, kept: _Kept[T]) -> _Kept[T]:
        with self._lock:
            before = self._kept.pop(text, None)
            self._bytes += kept.bytes - (before.bytes if before else 0)
            self._kept[text] = kept
            while self._bytes > self._most_bytes and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.bytes
        return kept


def _copy(error: PromptRejected) -> PromptRejected:
    """Return a copy of an error without its traceback, which would keep frames alive."""
    return PromptRejected(error.message, param=error.param, code=error.code)


def _turn(text: str) -> AbstractContextManager[object]:
    return _ONE_AT_A_TIME if len(text) > LARGE_CHARS else nullcontext()
