"""Chance that repeats itself: noise derived from a seed and a text, and from nothing else."""

from hashlib import blake2b

NOISE_BYTES = 64


def noise(*parts: str | int) -> bytes:
    """64 bytes that depend on the parts alone."""
    key = "\x1f".join(map(str, parts))
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=NOISE_BYTES).digest()


def roll(*parts: str | int) -> float:
    """A number between 0 and 1, both excluded, that depends on the parts alone."""
    # 52 bits: with more, the largest would round to 1.0, where no quantile exists.
    return ((int.from_bytes(noise(*parts)[:8]) >> 12) + 0.5) / 2**52
