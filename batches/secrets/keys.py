"""Derive the keys that encrypt stored secrets.

The first key encrypts, each key decrypts.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Part of the derived keys: with another text, stored secrets could not be read any more.
PURPOSE = b"threephase field encryption"


@lru_cache(maxsize=4)
def keys_of(secrets: tuple[str, ...]) -> MultiFernet:
    """Return the keys that are derived from secrets, which may also be used for signing."""
    return MultiFernet([Fernet(_derived(secret)) for secret in secrets])


def _derived(secret: str) -> bytes:
    """Derive a Fernet key from a secret of any length."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(secret.encode()))
