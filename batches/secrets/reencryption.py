"""Encrypt all stored secrets with the newest key, so that older keys can be removed."""

from django.db.models import Model

from batches.database import transaction
from batches.models import Provider, WebhookEndpoint
from batches.secrets.encryption import reencrypt

# All encrypted columns of the database.
ENCRYPTED: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
    (Provider, ("api_key_encrypted", "client_certificate_encrypted", "proxy_encrypted")),
    (WebhookEndpoint, ("secret", "old_secret")),
)


def reencrypt_secrets() -> int:
    """Encrypt every secret with the first key; return the number of secrets.

    Raise NotDecryptable and change nothing if one cannot be decrypted.
    """
    with transaction.atomic():
        return sum(_reencrypt(model, field) for model, fields in ENCRYPTED for field in fields)


def _reencrypt(model: type[Model], field: str) -> int:
    rows = model._default_manager.exclude(**{field: ""}).order_by("pk")
    stored = list(rows.select_for_update(no_key=True).values_list("pk", field))
    for pk, secret in stored:
        model._default_manager.filter(pk=pk).update(**{field: reencrypt(secret)})
    return len(stored)
