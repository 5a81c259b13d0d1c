"""Create the client for a provider's row."""

import os
from collections.abc import Iterable
from pathlib import Path

import httpx
from django.utils.module_loading import import_string

from batches.conf import conf
from batches.models import Provider
from batches.net.addresses import AddressPolicy
from batches.net.ways_out import (
    Proxy,
    WayOut,
    checked_authorities,
    checked_client_certificate,
    proxy_of_environment,
)
from batches.providers.client import ProviderClient
from batches.providers.key_variables import VariableRefused, check_variable
from batches.secrets.encryption import NotDecryptable, decrypt

# Special values of settings and fields, instead of files and URLs.
SYSTEM_STORE = "system"
ENVIRONMENT = "env"
NO_PROXY = "none"


class ProviderMisconfigured(Exception):
    """A provider cannot be called with its configuration; the message names the remedy."""


def provider_client(provider: Provider, *, connections: int) -> ProviderClient:
    """Return a client for a provider. Raise ProviderMisconfigured."""
    try:
        return ProviderClient(
            provider.base_url,
            api_key=api_key(provider),
            connections=connections,
            addresses=AddressPolicy(conf().PROVIDER_PRIVATE_HOSTS),
            remedy="set PROVIDER_PRIVATE_HOSTS={address}",
            max_reply_bytes=conf().MAX_REPLY_BYTES,
            way_out=way_out(provider),
            transport=_own_transport(provider),
        )
    except ValueError as error:
        raise ProviderMisconfigured(f"provider {provider.name}: {error}") from error


def _own_transport(provider: Provider) -> httpx.AsyncBaseTransport | None:
    """Return the transport that the project makes for calls to a provider, if it makes them."""
    if not conf().PROVIDER_TRANSPORT:
        return None
    try:
        make = import_string(conf().PROVIDER_TRANSPORT)
    except ImportError as error:
        raise ProviderMisconfigured(
            f"PROVIDER_TRANSPORT={conf().PROVIDER_TRANSPORT}: {error}"
        ) from error
    transport = make(provider.base_url)
    if not isinstance(transport, httpx.AsyncBaseTransport):
        raise ProviderMisconfigured(
            f"PROVIDER_TRANSPORT={conf().PROVIDER_TRANSPORT} returned "
            f"{type(transport).__name__}, not a transport of httpx (httpx.AsyncBaseTransport)"
        )
    return transport


def api_key(provider: Provider) -> str:
    """Return the key of a provider, "" if it needs none. Raise ProviderMisconfigured."""
    if provider.api_key_encrypted:
        return _decrypted(provider, provider.api_key_encrypted, "its key")
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


def way_out(provider: Provider) -> WayOut:
    """Return the network set-up of calls to a provider. Raise ProviderMisconfigured.

    The provider's row takes precedence over the settings; certificate authorities are combined.
    Files are read each time, so that a renewed certificate needs no restart.
    """
    bundle = conf().PROVIDER_CA_BUNDLE
    system_store = bundle == SYSTEM_STORE
    of_settings = "" if system_store else _authorities_of_setting(bundle)
    return WayOut(
        system_store=system_store,
        authorities=of_settings + provider.ca_certificates,
        client_certificate=_client_certificate(provider),
        proxy=_proxy(provider),
    )


def _authorities_of_setting(path: str) -> str:
    if not path:
        return ""
    try:
        return checked_authorities(_text_of("PROVIDER_CA_BUNDLE", [path]))
    except ValueError as error:
        raise ProviderMisconfigured(f"PROVIDER_CA_BUNDLE={path}: {error}") from error


def _client_certificate(provider: Provider) -> str:
    if provider.client_certificate_encrypted:
        stored = provider.client_certificate_encrypted
        return _decrypted(provider, stored, "its client certificate")
    paths = conf().PROVIDER_CLIENT_CERT
    if not paths:
        return ""
    try:
        return checked_client_certificate(_text_of("PROVIDER_CLIENT_CERT", paths))
    except ValueError as error:
        raise ProviderMisconfigured(f"PROVIDER_CLIENT_CERT={','.join(paths)}: {error}") from error


def _text_of(setting: str, paths: Iterable[str]) -> str:
    """Return the text of the files that a setting names."""
    texts = []
    for path in paths:
        try:
            texts.append(Path(path).read_text(encoding="latin-1"))
        except OSError as error:
            raise ProviderMisconfigured(f"{setting}={path}: {error.strerror}") from error
    return "\n".join(texts)


def _proxy(provider: Provider) -> Proxy | None:
    if provider.proxy_encrypted:
        url = _decrypted(provider, provider.proxy_encrypted, "its proxy")
        return None if url == NO_PROXY else Proxy.of(url)
    setting = conf().PROVIDER_PROXY
    try:
        if setting == ENVIRONMENT:
            return proxy_of_environment(provider.base_url)
        return Proxy.of(setting, set_by_operator=True) if setting else None
    except ValueError as error:
        # Omit the value, since it may contain a password.
        name = "HTTPS_PROXY or HTTP_PROXY" if setting == ENVIRONMENT else "PROVIDER_PROXY"
        raise ProviderMisconfigured(f"{name}: {error}") from error


def _decrypted(provider: Provider, stored: str, what: str) -> str:
    try:
        return decrypt(stored)
    except NotDecryptable as error:
        raise ProviderMisconfigured(
            f"provider {provider.name}: {error}; enter {what} again"
        ) from error
