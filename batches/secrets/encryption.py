"""Encrypt stored secrets that must be readable again.

The keys come from the setting FIELD_ENCRYPTION_KEYS: the first key encrypts, each key decrypts.
SECRET_KEY is the last of them, so that an installation without such keys can add some later.
"""

from typing import TYPE_CHECKING

from django.conf import settings

from batches.conf import conf

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class NotDecryptable(Exception):
    """None of the keys can decrypt a stored secret."""


def encrypt(text: str) -> str:
    """Return the encrypted text, for storage."""
    return _keys().encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the decrypted text. Raise NotDecryptable."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - takes long, see _keys

    try:
        return _keys().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise NotDecryptable(
            "a stored secret cannot be read with FIELD_ENCRYPTION_KEYS or SECRET_KEY"
        ) from None


def reencrypt(stored: str) -> str:
    """Return the same secret encrypted with the first key. Raise NotDecryptable."""
    return encrypt(decrypt(stored))


def _keys() -> "MultiFernet":
    # A process without a secret to read does not load the 6 MiB of cryptography.
    from batches.secrets.keys import keys_of  # noqa: PLC0415 - takes long

    return keys_of(
        (*conf().FIELD_ENCRYPTION_KEYS, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )
