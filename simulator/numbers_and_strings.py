"""Make numbers and strings within the constraints of a schema."""

import math
from collections.abc import Iterator
from fractions import Fraction
from random import Random

from simulator.patterns import UnsupportedPattern, text_matching
from simulator.samples import FORMATS, number_between, words_of_length
from simulator.schema_book import DeadEnd, Fact, SchemaBook

LONGEST_STRING = 1_000_000
TRIES = 24


def string_for(book: SchemaBook, facts: list[Fact], random: Random) -> str:
    """Return a string that satisfies the facts. Raise DeadEnd."""
    least = max((fact.get("minLength", 0) for fact in facts), default=0)
    most = min((fact.get("maxLength", math.inf) for fact in facts), default=math.inf)
    if least > min(most, LONGEST_STRING):
        raise DeadEnd
    for text in _candidates(facts, random, int(least), most):
        if book.accepts(facts, text):
            return text
    raise DeadEnd


def _candidates(facts: list[Fact], random: Random, least: int, most: float) -> Iterator[str]:
    patterns = [fact["pattern"] for fact in facts if "pattern" in fact]
    formats = [fact["format"] for fact in facts if fact.get("format") in FORMATS]
    for attempt in range(TRIES):
        if patterns:
            # Short texts first, then texts long enough for a minLength in addition to the pattern.
            extra = 3 if attempt < 4 else max(3, least) if attempt % 2 else attempt - 4
            yield _matching(patterns[attempt % len(patterns)], random, extra)
        elif formats:
            yield FORMATS[formats[attempt % len(formats)]](random)
        else:
            yield words_of_length(random, least, most)


def _matching(pattern: str, random: Random, extra: int) -> str:
    try:
        return text_matching(pattern, random, extra=extra)
    except UnsupportedPattern:
        raise DeadEnd from None


def number_for(book: SchemaBook, facts: list[Fact], random: Random, *, whole: bool) -> int | float:
    """Return a number that satisfies the facts. Raise DeadEnd."""
    low = max(_exact(facts, "minimum", "exclusiveMinimum"), default=None)
    high = min(_exact(facts, "maximum", "exclusiveMaximum"), default=None)
    step = max(_exact(facts, "multipleOf"), default=Fraction(1) if whole else _fine(low, high))
    if whole:
        step = Fraction(step.numerator)
    for _ in range(TRIES):
        number = number_between(random, low, high, step)
        if number is None:
            break
        whole_number = number.denominator == 1 and (whole or abs(number) > 2**53)
        value = int(number) if whole_number else float(number)
        if book.accepts(facts, value):
            return value
    raise DeadEnd


def _fine(low: Fraction | None, high: Fraction | None) -> Fraction:
    """Return a step that leaves numbers between the bounds."""
    if low is None or high is None or not 0 < high - low < 1:
        return Fraction(1, 100)
    return (high - low) / 100


def _exact(facts: list[Fact], *words: str) -> Iterator[Fraction]:
    # The decimal text is read: a multiple of 0.1 is meant, not of the float nearest to 0.1.
    # In draft 4 the exclusive bounds are flags, which the validator knows.
    values = (fact[word] for fact in facts for word in words if word in fact)
    return (Fraction(str(value)) for value in values if not isinstance(value, bool))
