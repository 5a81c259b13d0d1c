"""Reproducible randomness, derived only from a seed and a text."""

from hashlib import blake2b

NOISE_BYTES = 64


def noise(*parts: str | int) -> bytes:
    """Return 64 bytes that depend only on the parts."""
    key = "\x1f".join(map(str, parts))
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=NOISE_BYTES).digest()


def roll(*parts: str | int) -> float:
    """Return a number between 0 and 1, both excluded, that depends only on the parts."""
    # 52 bits: with more, the largest number would round to 1.0, where no quantile exists.
    return ((int.from_bytes(noise(*parts)[:8]) >> 12) + 0.5) / 2**52
