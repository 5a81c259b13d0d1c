"""One request, however often it is sent, makes one batch: by its key, or as a repetition."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from batches.models import Batch

# How long after a request the same one, marked as a repetition, is taken for it.
REPETITION = timedelta(minutes=15)


class KeyReused(Exception):
    """A key that made a batch already, of another request."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a request from others. `repeated` says that its client has sent it before."""

    owner: User
    key: str | None
    digest: str
    repeated: bool


def digest_of(request: Mapping[str, Any]) -> str:
    """The SHA-256 of a request, whatever the order of its fields.

    Raises ValueError for a number that JSON texts hold and JSON does not.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def create_once(identity: Identity, create: Callable[[], Batch]) -> Batch:
    """The batch of a request, made unless it was. Raises KeyReused."""
    if found := earlier(identity):
        return found
    try:
        with transaction.atomic():
            return create()
    except IntegrityError:
        # Of several at once the database lets one make it; the others find what it made.
        if found := earlier(identity):
            return found
        raise


def earlier(identity: Identity) -> Batch | None:
    """The batch that this request has made already, if any. Raises KeyReused."""
    batches = Batch.objects.filter(owner=identity.owner, deleted_at=None)
    if identity.key is not None:
        found = batches.filter(idempotency_key=identity.key).first()
        if found and found.request_digest != identity.digest:
            raise KeyReused
        return found
    if identity.repeated:
        recent = batches.filter(created_at__gt=Now() - REPETITION)
        return recent.filter(request_digest=identity.digest).order_by("-pk").first()
    return None
