"""API tokens: a secret is created and shown once, and only its digest is stored."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now

from batches.models import ApiToken
from batches.users import User

PREFIX = "tp_"
SECRET_BYTES = 32
# The visible part of a token: enough to distinguish tokens, too little to guess the rest.
SHOWN_CHARS = len(PREFIX) + 8
# Our tokens have 46 characters; much longer texts are refused without computing a digest.
LONGEST_SECRET = 200

# The resolution of the last use; each update costs a write.
USE_STEP = timedelta(minutes=1)


def create_token(user: User, *, name: str = "", expires_at: datetime | None = None) -> str:
    """Create a token; return its secret, which can never be read again."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    ApiToken.objects.create(
        owner=user,
        name=name,
        prefix=secret[:SHOWN_CHARS],
        digest=_digest(secret),
        expires_at=expires_at,
    )
    return secret


def authenticate(secret: str) -> User | None:
    """Return the active user of a token, or None if it is invalid or has expired."""
    if not secret.startswith(PREFIX) or len(secret) > LONGEST_SECRET:
        return None
    in_force = Q(expires_at=None) | Q(expires_at__gt=Now())
    tokens = ApiToken.objects.filter(in_force, digest=_digest(secret))
    token = tokens.select_related("owner").first()
    if token is None or not token.owner.is_active:
        return None
    _note_use(token)
    return token.owner


def _note_use(token: ApiToken) -> None:
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=Now() - USE_STEP)
    this = ApiToken.objects.filter(long_ago, pk=token.pk)
    # Check first: even an UPDATE without matches blocks SQLite's only writer.
    if this.exists():
        this.update(last_used_at=Now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
