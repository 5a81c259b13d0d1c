"""A provider's row becomes a client that can call it."""

import os

from django.conf import settings

from batches.addresses import AddressPolicy
from batches.encryption import NotDecryptable, decrypt
from batches.key_variables import VariableRefused, check_variable
from batches.models import Provider
from batches.provider_client import ProviderClient


class ProviderMisconfigured(Exception):
    """A provider that cannot be called as it is configured; the message names the remedy."""


def provider_client(provider: Provider, *, connections: int) -> ProviderClient:
    """A client for a provider. Raises ProviderMisconfigured."""
    try:
        return ProviderClient(
            provider.base_url,
            api_key=api_key(provider),
            connections=connections,
            addresses=AddressPolicy(settings.PROVIDER_PRIVATE_HOSTS),
            remedy="set PROVIDER_PRIVATE_HOSTS={address}",
            max_reply_bytes=settings.MAX_REPLY_BYTES,
        )
    except ValueError as error:
        raise ProviderMisconfigured(f"provider {provider.name}: {error}") from error


def api_key(provider: Provider) -> str:
    """The key of a provider, "" if it needs none. Raises ProviderMisconfigured."""
    if provider.api_key_encrypted:
        try:
            return decrypt(provider.api_key_encrypted)
        except NotDecryptable as error:
            raise ProviderMisconfigured(
                f"provider {provider.name}: {error}; enter its key anew"
            ) from error
    if not provider.api_key_env:
        return ""
    try:
        check_variable(provider.api_key_env)
    except VariableRefused as error:
        raise ProviderMisconfigured(f"provider {provider.name}: {error}") from error
    key = os.environ.get(provider.api_key_env, "").strip()
    if not key:
        raise ProviderMisconfigured(
            f"the environment variable {provider.api_key_env}, which should hold the API key "
            f"for {provider.base_url}, is not set"
        )
    return key
