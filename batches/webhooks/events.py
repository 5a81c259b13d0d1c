"""What a receiver is told, and how it can tell that we said it (Standard Webhooks)."""

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from standardwebhooks import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105 - marks a secret, is none
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something that happened; the same id and body however often it is told."""

    id: str
    type: str
    object_id: str
    created_at: datetime

    @property
    def content(self) -> bytes:
        body = {
            "id": self.id,
            "object": "event",
            "created_at": int(self.created_at.timestamp()),
            "type": self.type,
            "data": {"id": self.object_id},
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def headers(self, signing_secrets: Sequence[str], *, at: datetime) -> dict[str, str]:
        """The headers of an attempt at this moment (UTC), signed with each of these secrets."""
        text = self.content.decode()
        signatures = [Webhook(secret).sign(self.id, at, text) for secret in signing_secrets]
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def new_secret() -> str:
    """A signing secret as receivers keep it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
