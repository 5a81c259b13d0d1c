"""Make deterministic answers: text, vectors, and values for a JSON Schema."""

import math
from array import array
from hashlib import shake_256
from random import Random

from simulator.instances import InstanceWriter
from simulator.samples import sentences
from simulator.schema_book import CannotAnswer, DeadEnd, Json, Schema, book_of

__all__ = ["CannotAnswer", "Json", "Schema", "answer_for_schema", "answer_text", "embedding"]

ATTEMPTS = 24
MOST_STEPS = 36_000


def answer_text(seed: int, prompt: str) -> str:
    """Return 20 to 60 words that depend only on the seed and the prompt."""
    return sentences(seed, "text", prompt)


def embedding(seed: int, text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 that depends only on the seed, the text and the dimensions."""
    noise = shake_256(f"{seed}\x1f{text}".encode("utf-8", "surrogatepass"))
    # Odd numbers are never zero, so that every vector has a direction.
    values = [value | 1 for value in array("h", noise.digest(2 * dimensions))]
    length = math.hypot(*values)
    return [value / length for value in values]


def answer_for_schema(schema: Schema, seed: int | str) -> Json:
    """Return a value that the schema allows; it depends only on schema and seed.

    Formats are respected. References outside the schema are not followed. Raise CannotAnswer.
    """
    book = book_of(schema)
    objection: str | None = None
    steps = 0
    for attempt in range(ATTEMPTS):
        writer = InstanceWriter(
            book,
            Random(f"{seed}/{attempt}"),
            lean=attempt >= ATTEMPTS // 2,
            daring=attempt > 2,
        )
        try:
            value = writer.write()
            objection = book.objection(value)
            if objection is None:
                return value
        except DeadEnd:
            pass
        except RecursionError:
            raise CannotAnswer("the schema is nested too deeply") from None
        steps += writer.steps
        if steps > MOST_STEPS:
            break
    raise CannotAnswer(_reason(objection))


def _reason(objection: str | None) -> str:
    if objection is None:
        return "no value was found that it allows; it contradicts itself or is too intricate"
    return f"no value was found that it allows; the last one tried failed: {objection}"
