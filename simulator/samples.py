"""Make strings and numbers: sentences, samples of the common formats, numbers on a grid."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from uuid import UUID

from simulator.chance import NOISE_BYTES, noise

WORDS = (
    "the a this each some every our their one another quiet early careful open simple steady "
    "small large recent common useful local general bright patient slow river market garden engine "
    "letter window harbour teacher number record signal surface method season village pattern "
    "question answer report journey bridge winter morning paper stone measure holds follows "
    "carries explains connects supports changes reaches describes allows needs keeps brings "
    "returns opens between across under near after before with without toward along about and "
    "often rarely soon again together mostly"
).split()

_WORD_OF_BYTE = [WORDS[byte % len(WORDS)] for byte in range(256)]

FEWEST_WORDS = 20
MOST_WORDS = 60


def sentences(*seed: str | int) -> str:
    """Return about 20 to 60 words in sentences that depend only on the seed."""
    bytes_ = noise(*seed)
    count = FEWEST_WORDS + bytes_[0] % (MOST_WORDS - FEWEST_WORDS + 1)
    words = [_WORD_OF_BYTE[byte] for byte in bytes_[1 : count + 1]]
    length = 7 + bytes_[NOISE_BYTES - 1] % 6
    parts = (" ".join(words[at : at + length]) for at in range(0, count, length))
    return " ".join(f"{part.capitalize()}." for part in parts)


def words_of_length(random: Random, least: int, most: float) -> str:
    """Return words of this length in characters; a short phrase if the length is free."""
    target = min(most, max(least, random.randint(4, 20)))
    text = random.choice(WORDS)
    while len(text) < target:
        text += f" {random.choice(WORDS)}"
    if len(text) <= most:
        return text
    cut = text[: int(most)]
    return f"{cut[:-1]}s" if cut.endswith(" ") else cut


def number_between(
    random: Random, low: Fraction | None, high: Fraction | None, step: Fraction
) -> Fraction | None:
    """Return a multiple of step within the bounds; small without bounds; None if impossible."""
    room = random.choice((10, 100, 1000))
    if low is None:
        # Mostly count from 0 up, as people do.
        below = 0 if random.random() < 0.9 else room
        low = min(Fraction(0), high - room * step) if high is not None else -below * step
    first = math.ceil(low / step)
    last = first + room if high is None else min(math.floor(high / step), first + 100_000)
    return random.randint(first, last) * step if first <= last else None


def _moment(random: Random) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(10**8))


def _label(random: Random) -> str:
    return "".join(random.choices("abcdefghijklmnop", k=random.randint(1, 8)))


def _email(random: Random) -> str:
    return f"{_label(random)}@{_label(random)}.com"


def _hostname(random: Random) -> str:
    return f"{_label(random)}.example.com"


def _uri(random: Random) -> str:
    return f"https://{_hostname(random)}/{_label(random)}"


def _ipv6(random: Random) -> str:
    return "2001:db8::" + ":".join(f"{random.randrange(1, 65536):x}" for _ in range(3))


FORMATS: dict[str, Callable[[Random], str]] = {
    "date-time": lambda random: _moment(random).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "date": lambda random: _moment(random).strftime("%Y-%m-%d"),
    "time": lambda random: _moment(random).strftime("%H:%M:%SZ"),
    "duration": lambda random: f"P{random.randint(1, 9)}DT{random.randint(1, 23)}H",
    "email": _email,
    "idn-email": _email,
    "hostname": _hostname,
    "idn-hostname": _hostname,
    "ipv4": lambda random: f"192.0.2.{random.randrange(256)}",
    "ipv6": _ipv6,
    "uuid": lambda random: str(UUID(int=random.getrandbits(128), version=4)),
    "uri": _uri,
    "iri": _uri,
    "uri-reference": lambda random: f"/{_label(random)}",
    "iri-reference": lambda random: f"/{_label(random)}",
    "uri-template": lambda random: f"/{_label(random)}/{{id}}",
    "json-pointer": lambda random: f"/{_label(random)}/{random.randrange(9)}",
    "relative-json-pointer": lambda random: f"{random.randrange(9)}/{_label(random)}",
    "regex": lambda random: f"^{_label(random)}+$",
}
