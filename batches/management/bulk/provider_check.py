"""A look at a provider before a prompt is read."""

import random
import time

from django.conf import settings

from batches.actions import providers as provider_actions
from batches.engine.errors import (
    AuthError,
    DeadlineExceeded,
    Decision,
    EndpointUnusable,
    NetworkError,
    ProviderError,
)
from batches.engine.retry import RetryPolicy, decide
from batches.formats import duration
from batches.management.bulk.console import excerpt
from batches.management.bulk.usage import UsageError
from batches.models import Provider
from batches.providers.client import Look
from batches.providers.probing import DEADLINE_S, look

FIRST_CALL = "the first call decides."
# A provider that refuses one look of three is there all the same.
MAX_LOOKS = 3


def check_provider(provider: Provider, timeout_s: float) -> str:
    """Ask a provider for its models, to find a wrong address before a prompt is read.

    The look has no more time than a call, and is retried as a call is. Return a warning, or "". A
    provider need not list its models, nor to this key, and may be away for a while: the first call
    decides. A key that is refused there pauses the batch, and no prompt fails. Open a provider that
    errors have paused: the user who starts a run wants it tried again. Raise UsageError for an
    address that can never be called.
    """
    warning = ""
    try:
        if not _retried_look(provider, min(timeout_s, DEADLINE_S)).models:
            warning = f"Warning: {provider.base_url}/models lists no model."
    except (NetworkError, DeadlineExceeded) as error:
        warning = _waiting(error)
    except EndpointUnusable as error:
        raise UsageError(error.message) from error
    except ProviderError as error:
        warning = _warning(provider, error)
    if provider.pk:
        provider_actions.try_again(provider)
    return warning


def _retried_look(provider: Provider, deadline_s: float) -> Look:
    """Return a look at a provider, retried where an HTTP error may pass. Raises a ProviderError."""
    policy = RetryPolicy(max_wait_s=deadline_s)
    waited_s = 0.0
    for looks in range(1, MAX_LOOKS):
        try:
            return look(provider, deadline_s=deadline_s)
        except ProviderError as error:
            verdict = decide(
                error,
                attempts=looks,
                retries=looks,
                waited_s=waited_s,
                policy=policy,
                chance=random.random(),
            )
            # Without an answer the prompts wait for the provider anyway.
            is_refusal = error.status_code is not None and error.status_code >= 400
            if verdict.decision is not Decision.RETRY or not is_refusal:
                raise
        time.sleep(verdict.delay_s)
        waited_s += verdict.delay_s
    return look(provider, deadline_s=deadline_s)


def _waiting(error: ProviderError) -> str:
    """Say that the provider cannot be reached, and for how long it is waited for."""
    patience = f"{duration(settings.PROVIDER_PATIENCE)} (PROVIDER_PATIENCE)"
    return f"Warning: {excerpt(error.message)}\nThe prompts wait for an answer, up to {patience}."


def _warning(provider: Provider, error: ProviderError) -> str:
    """Say what was answered instead of a list of models, and what may be wrong."""
    answer = f"Warning: {provider.base_url}/models answers {excerpt(error.message)}"
    if isinstance(error, AuthError):
        return f"{answer}\n{_key(provider)} It may only lack the right to list models: {FIRST_CALL}"
    hint = "" if provider.base_url.endswith("/v1") else "Base URLs usually end in /v1. "
    return f"{answer}\n{hint}Not every provider lists its models: {FIRST_CALL}"


def _key(provider: Provider) -> str:
    """Name the key that was refused, and what to do about it."""
    if provider.api_key_encrypted:
        return f"If the key of provider {provider.name!r} is wrong, enter it again in the admin."
    if provider.api_key_env:
        return f"The key is that of the environment variable {provider.api_key_env}."
    return "The provider was called without a key; --api-key-env gives one."
