"""Phase 1 of a slice: prepare requests in another thread, a piece at a time.

Meanwhile the event loop renews the leases and serves the calls, even if a schema takes long.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from batches.engine.errors import FailureKind
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import Outcome, PreparedRequest, PromptSpec
from batches.engine.structured.known_schemas import KnownSchemas
from batches.models import Batch
from batches.runner.holdings import HeldChunk, StoredPrompt, never_sent

logger = logging.getLogger(__name__)

# After this time a piece ends with the current prompt, so that its requests can be sent and the
# slice can stop.
PIECE_S = 0.05
# Providers cache beginnings of 1,024 tokens or more, about this number of bytes.
CACHED_BYTES = 4_096
CACHE_KEY = "prompt_cache_key"


def with_cache_key(request: PreparedRequest) -> PreparedRequest:
    """Return a request with a key that all requests with the same beginning have.

    Short requests are not cached and get none; a key that is there stays.
    """
    content = request.content
    if len(content) <= CACHED_BYTES or f'"{CACHE_KEY}"'.encode() in content:
        return request
    key = hashlib.blake2b(content[:CACHED_BYTES], digest_size=16).hexdigest()
    return replace(request, content=content[:-1] + f',"{CACHE_KEY}":"{key}"}}'.encode())


class Preparation:
    """Prepares the prompts of one batch; one piece at a time."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._endpoint = batch.endpoint
        self._known = KnownSchemas(batch.defaults, self._endpoint)
        self._keyed = batch.order == "prefix" and batch.provider.takes_cache_keys

    async def piece(self, chunk: HeldChunk, *, most: int) -> list[PreparedRequest | Outcome]:
        """Take at least one prompt from a chunk; return requests or failures, in order."""
        prompts = list(islice(chunk.prompts, most))
        prepared = await asyncio.to_thread(self._piece, prompts, chunk.lease.token)
        chunk.prepared(len(prepared))
        return prepared

    def _piece(
        self, prompts: Sequence[StoredPrompt], ticket: int
    ) -> list[PreparedRequest | Outcome]:
        until = time.monotonic() + PIECE_S
        prepared: list[PreparedRequest | Outcome] = []
        for prompt in prompts:
            if prepared and time.monotonic() > until:
                break
            prepared.append(self._prepared(prompt, ticket))
        return prepared

    def _prepared(self, prompt: StoredPrompt, ticket: int) -> PreparedRequest | Outcome:
        try:
            item = prepare_prompt_request(
                PromptSpec(prompt.index, prompt.custom_id, json.loads(prompt.body)),
                endpoint=self._endpoint,
                defaults=self._batch.defaults,
                strict_schemas=self._batch.strict_schemas,
                known=self._known,
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Otherwise the chunk would be claimed for ever, without a call. A panic in a Rust
            # library is not an Exception, so catch BaseException.
            logger.exception("%s: preparing prompt %d failed", self._batch, prompt.index)
            return _broken(prompt, error)
        if isinstance(item, Outcome):
            return item
        item = replace(item, ticket=ticket)
        return with_cache_key(item) if self._keyed else item


def _broken(prompt: StoredPrompt, error: BaseException) -> Outcome:
    reason = f"{type(error).__name__}: {error}"[:500]
    message = f"the prompt could not be prepared, and nothing was sent: {reason}"
    return never_sent(prompt.index, FailureKind.INTERNAL, message)
