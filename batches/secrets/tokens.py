"""Keys to the API: made once, shown once, stored as a digest."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.db.models.functions import Now

from batches.models import ApiToken

PREFIX = "tp_"
SECRET_BYTES = 32
# What a person sees of a token again: enough to tell two apart, nothing to guess the rest by.
SHOWN_CHARS = len(PREFIX) + 8
# Ours have 46; whatever is longer is not worth a digest.
LONGEST_SECRET = 200

# How exactly the last use is known; each step costs a write.
USE_STEP = timedelta(minutes=1)


def create_token(user: User, *, name: str = "", expires_at: datetime | None = None) -> str:
    """Make a token; the secret is returned and can never be read again."""
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
    """The active user whose token this is, unless it has expired."""
    if not secret.startswith(PREFIX) or len(secret) > LONGEST_SECRET:
        return None
    in_force = Q(expires_at=None) | Q(expires_at__gt=Now())
    tokens = ApiToken.objects.filter(in_force, digest=_digest(secret), owner__is_active=True)
    token = tokens.select_related("owner").first()
    if token is None:
        return None
    _note_use(token)
    return token.owner


def _note_use(token: ApiToken) -> None:
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=Now() - USE_STEP)
    this = ApiToken.objects.filter(long_ago, pk=token.pk)
    # Asked first: an UPDATE that matches nothing takes SQLite's only writer all the same.
    if this.exists():
        this.update(last_used_at=Now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
