"""One request, however often it is sent with one key, makes one batch."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError

from batches.models import Batch


class KeyReused(Exception):
    """A key that made a batch already, of another request."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a request from others."""

    owner: User
    key: str | None
    digest: str


def digest_of(request: Mapping[str, Any]) -> str:
    """The SHA-256 of a request, whatever the order of its fields.

    Raises ValueError for a number that JSON texts hold and JSON does not.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def create_once(identity: Identity, create: Callable[[], Batch]) -> Batch:
    """The batch of a request, made unless it was. Raises KeyReused.

    Making it is a transaction of its own at its end: what comes before may take long.
    """
    if found := earlier(identity):
        return found
    try:
        return create()
    except IntegrityError:
        # Of several at once the database lets one make it; the others find what it made.
        if found := earlier(identity):
            return found
        raise


def earlier(identity: Identity) -> Batch | None:
    """The batch that this request has made already, if any. Raises KeyReused."""
    if identity.key is None:
        return None
    batches = Batch.objects.whole().filter(owner=identity.owner, deleted_at=None)
    found = batches.filter(idempotency_key=identity.key).first()
    if found and found.request_digest != identity.digest:
        raise KeyReused
    return found
