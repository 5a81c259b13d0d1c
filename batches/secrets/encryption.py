"""Encrypt stored secrets that must be readable again.

The keys come from the setting FIELD_ENCRYPTION_KEYS: the first key encrypts, each key decrypts.
SECRET_KEY is the last of them, so that an installation without such keys can add some later.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# Part of the derived keys: with another text, stored secrets could not be read any more.
PURPOSE = b"threephase field encryption"


class NotDecryptable(Exception):
    """None of the keys can decrypt a stored secret."""


def encrypt(text: str) -> str:
    """Return the encrypted text, for storage."""
    return _keys().encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the decrypted text. Raise NotDecryptable."""
    try:
        return _keys().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise NotDecryptable(
            "a stored secret cannot be read with FIELD_ENCRYPTION_KEYS or SECRET_KEY"
        ) from None


def reencrypt(stored: str) -> str:
    """Return the same secret encrypted with the first key. Raise NotDecryptable."""
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
    """Derive a Fernet key from a secret of any length, which may also be used for signing."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(secret.encode()))
