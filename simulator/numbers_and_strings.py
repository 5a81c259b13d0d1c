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
        if all(book.accepts(fact, text) for fact in facts):
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


def number_for(facts: list[Fact], random: Random, *, whole: bool) -> int | float:
    """Return a number that satisfies the facts. Raise DeadEnd."""
    low, low_excluded = _bound(facts, "minimum", "exclusiveMinimum", highest=True)
    high, high_excluded = _bound(facts, "maximum", "exclusiveMaximum", highest=False)
    step = _step(facts, low, high, whole=whole)
    # An excluded bound becomes the next point inside, on the grid of the step.
    if low is not None and low_excluded:
        low = (math.floor(low / step) + 1) * step
    if high is not None and high_excluded:
        high = (math.ceil(high / step) - 1) * step
    number = number_between(random, low, high, step)
    if number is None:
        raise DeadEnd
    if number.denominator == 1 and (whole or abs(number) > 2**53):
        return int(number)
    return float(number)


def _bound(
    facts: list[Fact], included: str, excluded: str, *, highest: bool
) -> tuple[Fraction | None, bool]:
    """Return the tightest bound, and True if the bound itself is excluded."""
    bounds = [(_exact(fact[included]), False) for fact in facts if included in fact]
    # In draft 4 the exclusive keywords are flags of the other bounds.
    bounds += [
        (_exact(fact[excluded]), True)
        for fact in facts
        if excluded in fact and not isinstance(fact[excluded], bool)
    ]
    if not bounds:
        return None, False
    # Of two equal bounds the excluded one is tighter.
    if highest:
        return max(bounds)
    return min(bounds, key=lambda bound: (bound[0], not bound[1]))


def _step(
    facts: list[Fact], low: Fraction | None, high: Fraction | None, *, whole: bool
) -> Fraction:
    """Return the step of the required grid, or a step that is fine enough for the bounds."""
    steps = [_exact(fact["multipleOf"]) for fact in facts if "multipleOf" in fact]
    if whole:
        steps.append(Fraction(1))
    if steps:
        return _common_multiple(steps)
    if low is None or high is None or high - low >= 1:
        return Fraction(1, 100)
    if low == high:
        return abs(low) or Fraction(1)
    return Fraction(1, 10 ** (2 + math.ceil(-math.log10(high - low))))


def _common_multiple(steps: list[Fraction]) -> Fraction:
    top = math.lcm(*(step.numerator for step in steps))
    return Fraction(top, math.gcd(*(step.denominator for step in steps)))


def _exact(number: float) -> Fraction:
    # Convert the decimal text: a multiple of 0.1 is meant, not of the float nearest to 0.1.
    return Fraction(str(number))
