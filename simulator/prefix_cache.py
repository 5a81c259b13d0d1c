"""The beginnings of requests that a provider has seen, as servers cache them: block by block."""

from collections import OrderedDict
from hashlib import blake2b

from pydantic_core import from_json, to_json

BLOCK_CHARS = 64


class PrefixCache:
    """Blocks of texts, each together with all that is before it; the ones used last are kept."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def cached_chars(self, text: bytes, *, most: int) -> int:
        """Return how much of the beginning of a text is cached, and cache all its whole blocks,
        with at most `most` blocks in the cache."""
        found, is_known = 0, True
        digest = blake2b(digest_size=16)
        for start in range(0, len(text) - BLOCK_CHARS + 1, BLOCK_CHARS):
            digest.update(text[start : start + BLOCK_CHARS])
            key = digest.digest()
            is_known = is_known and key in self._blocks
            found += is_known
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > most:
            self._blocks.popitem(last=False)
        return found * BLOCK_CHARS


def cacheable(body: bytes) -> bytes:
    """Return the part of a request that is cached by its beginning: what the model reads."""
    request = from_json(body)
    asked = {name: request.get(name) for name in ("model", "instructions", "messages", "input")}
    return bytes(to_json(asked))
