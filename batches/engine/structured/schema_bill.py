"""Count the cost of a batch's schemas while they are read, before anything is sent."""

from collections.abc import Sequence
from hashlib import sha256

from pydantic_core import to_json

from batches.engine.errors import PromptRejected
from batches.engine.structured.asked import AskedSchema

# A schema of up to this size costs no more than the rest of its prompt.
FREE_BYTES = 4096
# Size of all schemas of one request: the answer and the tools.
MAX_REQUEST_BYTES = 1024 * 1024
# Size of the schemas that are checked while a user waits for the response: about half a second.
CHECKED_BYTES = 256 * 1024
TOO_MANY_SCHEMAS = "too_many_schemas"
# Cost of the smallest schema, and the most that a pattern costs, in bytes of a large schema; and
# the factor of the additional cost of a strict form.
_LEAST_COST = 1024
_PATTERN_COST = 8 * 1024
_STRICT_FACTOR = 6


class SchemaBill:
    """Counts the different large schemas of a batch, up to `most_bytes` in total.

    `checked_bytes` limits the schemas that are checked while they are read and a user waits; the
    others are checked when their prompts are prepared. None means no limit.
    """

    def __init__(
        self, most_bytes: int, *, checked_bytes: int | None = None, strict_forms: bool = False
    ) -> None:
        self._most_bytes = most_bytes
        self._checked_bytes = checked_bytes
        self._factor = _STRICT_FACTOR if strict_forms else 1
        self._seen: set[bytes] = set()
        self._checked: set[bytes] = set()
        self._bytes = 0
        self._cost = 0

    def count(self, asked: Sequence[AskedSchema]) -> tuple[int, ...]:
        """Return the sizes of the large schemas that no earlier request had.

        Raise PromptRejected if the schemas are too large in total.
        """
        new: dict[bytes, int] = {}
        total = 0
        for one in asked:
            text = _written(one)
            total += len(text)
            if total > MAX_REQUEST_BYTES:
                raise _too_large(total, one)
            name = sha256(text).digest()
            if len(text) > FREE_BYTES and name not in self._seen:
                new[name] = len(text)
                if self._bytes + sum(new.values()) > self._most_bytes:
                    raise self._too_many(one)
        self._seen.update(new)
        self._bytes += sum(new.values())
        return tuple(new.values())

    def is_checked(self, asked: Sequence[AskedSchema]) -> bool:
        """Return True if the schemas of a request must be checked now."""
        if self._checked_bytes is None:
            return True
        costs = {sha256(text).digest(): _cost_of(text) for text in map(_written, asked)}
        new = costs.keys() - self._checked
        if new and self._cost >= self._checked_bytes:
            return False
        self._checked.update(new)
        self._cost += self._factor * sum(costs[name] for name in new)
        return True

    def _too_many(self, one: AskedSchema) -> PromptRejected:
        return PromptRejected(
            f"'{one.param}' is one large schema too many: the {len(self._seen)} different schemas "
            f"before it have {self._bytes} bytes in total, and with it the batch has more than "
            f"{self._most_bytes} (MAX_SCHEMA_BYTES_PER_BATCH). Let prompts share schemas (equal "
            f"schemas count once, and schemas of up to {FREE_BYTES} bytes do not count), or split "
            "the batch.",
            param=one.param,
            code=TOO_MANY_SCHEMAS,
        )


def _cost_of(text: bytes) -> int:
    return _LEAST_COST + len(text) + _PATTERN_COST * text.count(b'"pattern')


def _too_large(total: int, one: AskedSchema) -> PromptRejected:
    return PromptRejected(
        f"With '{one.param}' the schemas of the request have {total} bytes or more; the most is "
        f"{MAX_REQUEST_BYTES}. Offer fewer tools, or shorten their schemas.",
        param=one.param,
        code=TOO_MANY_SCHEMAS,
    )


def _written(one: AskedSchema) -> bytes:
    try:
        return to_json(one.schema)
    except ValueError as error:
        raise PromptRejected(
            f"'{one.param}' cannot be sent as JSON: {error}.", param=one.param
        ) from error
