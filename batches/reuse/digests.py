"""Digests of requests: equal if the answer to one may stand for the other."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from batches.engine.prepare import whole_body
from batches.models import Batch
from batches.models.bounds import DIGEST_BYTES

# Fields that say who asks, what it is for, or what a call may cost, and do not change an answer.
NOT_ABOUT_THE_ANSWER = frozenset(
    {
        *("metadata", "user", "safety_identifier", "store"),
        *("prompt_cache_key", "prompt_cache_retention", "service_tier"),
    }
)


class RequestDigests:
    """The digests of the requests of a batch.

    They differ between owners, providers and endpoints, and where the answers are read in another
    way.
    """

    def __init__(self, batch: Batch) -> None:
        self._defaults = batch.defaults
        self._start = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._start.update(
            _canonical(
                {
                    "owner": _plain(batch.owner_id),
                    "provider": batch.provider_id,
                    "endpoint": batch.endpoint,
                    "extract_json": batch.extract_json,
                    "repair_json": batch.repair_json,
                    "max_repair_attempts": batch.max_repair_attempts,
                    "strict_schemas": batch.strict_schemas,
                    # Left out of batches without it, which have the digests of earlier versions.
                    **({"escalate": batch.escalate} if batch.escalate else {}),
                }
            )
        )

    def of(self, body: str) -> bytes:
        """Return the digest of the request with this body, which is JSON text."""
        whole = whole_body(self._defaults, from_json(body))
        for name in NOT_ABOUT_THE_ANSWER & whole.keys():
            del whole[name]
        digest = self._start.copy()
        digest.update(_canonical(whole))
        return digest.digest()


def _plain(key: object) -> int | str | None:
    """Return the key of a row as JSON has it; users may have other keys than numbers."""
    return key if key is None or isinstance(key, int) else str(key)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
