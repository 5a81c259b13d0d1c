"""The content and signature of an event, in the format of Standard Webhooks."""

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
    """An event; its ID and body are the same in each attempt."""

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
        """Return the headers of an attempt at this time (UTC), signed with each of the secrets."""
        text = self.content.decode()
        signatures = [Webhook(secret).sign(self.id, at, text) for secret in signing_secrets]
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def new_secret() -> str:
    """Return a new signing secret in the form that receivers store."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
