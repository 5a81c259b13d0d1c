"""Idempotency: repeated requests with the same key create only one batch."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError

from batches.models import Batch
from batches.users import User


class KeyReused(Exception):
    """The key was used before, for another request."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a request: owner, key and digest."""

    owner: User
    key: str | None
    digest: str


def digest_of(request: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a request, independent of the order of its fields.

    Raise ValueError for a number that is not valid JSON, such as NaN.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def create_once(identity: Identity, create: Callable[[], Batch]) -> Batch:
    """Return the batch of a request; create it if it does not exist. Raise KeyReused.

    `create` opens its own transaction at the end, since the work before that may take long.
    """
    if found := earlier(identity):
        return found
    try:
        return create()
    except IntegrityError:
        # Of concurrent requests, the database lets one create the batch; the others find it.
        if found := earlier(identity):
            return found
        raise


def earlier(identity: Identity) -> Batch | None:
    """Return the batch that this request has already created, if any. Raise KeyReused."""
    if identity.key is None:
        return None
    batches = Batch.objects.whole().filter(owner=identity.owner, deleted_at=None)
    found = batches.filter(idempotency_key=identity.key).first()
    if found and found.request_digest != identity.digest:
        raise KeyReused
    return found
