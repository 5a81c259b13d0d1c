"""Secrets that we must be able to read again are encrypted where they are stored.

The keys come from the setting FIELD_ENCRYPTION_KEYS: the first encrypts, each of them decrypts.
SECRET_KEY stands behind them, so that an installation without such keys can be given some.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# Part of what is stored: with another text here, nothing could be read any more.
PURPOSE = b"threephase field encryption"


class NotDecryptable(Exception):
    """A stored secret that none of the keys reads."""


def encrypt(text: str) -> str:
    """The text as it is stored."""
    return _keys().encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """The text that was encrypted. Raises NotDecryptable."""
    try:
        return _keys().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise NotDecryptable(
            "a stored secret cannot be read with FIELD_ENCRYPTION_KEYS or SECRET_KEY"
        ) from None


def reencrypt(stored: str) -> str:
    """The same secret under the first key. Raises NotDecryptable."""
    return encrypt(decrypt(stored))


def _keys() -> MultiFernet:
    secrets = (
        *settings.FIELD_ENCRYPTION_KEYS,
        settings.SECRET_KEY,
        *settings.SECRET_KEY_FALLBACKS,
    )
    return _fernet(secrets)


@lru_cache(maxsize=4)
def _fernet(secrets: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(secret)) for secret in secrets])


def _derived(secret: str) -> bytes:
    """A Fernet key from a secret of any length; not the secret itself, which signs other things."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(secret.encode()))
