"""manage.py reencrypt: encrypt every stored secret with the first of FIELD_ENCRYPTION_KEYS."""

from typing import Any

from batches.management.bulk.usage import UsageCommand, UsageError
from batches.secrets.encryption import NotDecryptable
from batches.secrets.reencryption import reencrypt_secrets


class Command(UsageCommand):
    help = (
        "Re-encrypt stored secrets with the first of FIELD_ENCRYPTION_KEYS. "
        "Then the other keys can be removed."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            count = reencrypt_secrets()
        except NotDecryptable as error:
            message = f"{error}; nothing was changed. Add the missing key to FIELD_ENCRYPTION_KEYS"
            raise UsageError(message) from error
        self.stdout.write(f"re-encrypted {count} secrets")
