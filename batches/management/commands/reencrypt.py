"""manage.py reencrypt: put every stored secret under the first of FIELD_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand

from batches.management.bulk.usage import UsageError
from batches.secrets.encryption import NotDecryptable
from batches.secrets.reencryption import reencrypt_secrets


class Command(BaseCommand):
    help = (
        "Encrypt stored secrets anew with the first of FIELD_ENCRYPTION_KEYS. "
        "After that the other keys can go."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            count = reencrypt_secrets()
        except NotDecryptable as error:
            message = f"{error}; nothing was changed. Add the key that is missing"
            raise UsageError(message) from error
        self.stdout.write(f"encrypted {count} secrets anew")
