"""Check a provider before the first prompt is read."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from batches.actions import providers as provider_actions
from batches.conf import conf
from batches.engine.errors import (
    AuthError,
    DeadlineExceeded,
    Decision,
    EndpointUnusable,
    NetworkError,
    ProviderError,
)
from batches.engine.retry import RetryPolicy, decide
from batches.engine.text.wording import did_you_mean, named, quoted
from batches.formats import duration
from batches.management.bulk.usage import UsageError
from batches.management.terminal import excerpt
from batches.models import Provider
from batches.providers.client import Look
from batches.providers.probing import DEADLINE_S, look

FIRST_CALL = "the first call decides."
# Retry: a provider that fails one request of three is usable.
MAX_LOOKS = 3


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """The models that a provider lists, and a warning, or ""."""

    warning: str = ""
    models: Sequence[str] = ()

    def unlisted(self, models: Iterable[str]) -> Iterator[str]:
        """Yield a warning for each of these models that is not in the list of the provider."""
        for model in models if self.models else ():
            if model not in self.models:
                hint = did_you_mean(model, self.models) or f" It lists {named(self.models)}."
                yield f"Warning: the provider lists no model {quoted(model)}.{hint}"


def check_provider(provider: Provider, timeout_s: float) -> ProviderCheck:
    """Ask a provider for its models, to find a wrong address before a prompt is read.

    The request has the timeout of a call and is retried like a call. A
    provider may not list its models, or not for this key, and may be unavailable for a while; only
    the first call shows whether it works. If that call's key is rejected, the batch pauses and no
    prompt fails. Resume a provider that was paused by errors, since the user who starts a run wants
    to try it again. Raises UsageError for an address that can never be called.
    """
    warning = ""
    models: Sequence[str] = ()
    try:
        models = _retried_look(provider, min(timeout_s, DEADLINE_S)).models
        if not models:
            warning = f"Warning: {provider.base_url}/models lists no models."
    except (NetworkError, DeadlineExceeded) as error:
        warning = _waiting(error)
    except EndpointUnusable as error:
        raise UsageError(error.message) from error
    except ProviderError as error:
        warning = _warning(provider, error)
    if provider.pk:
        provider_actions.try_again(provider)
    return ProviderCheck(warning, models)


def _retried_look(provider: Provider, deadline_s: float) -> Look:
    """Request the models, with retries after temporary HTTP errors. Raises a ProviderError."""
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
            # If the provider cannot be reached, do not retry here: the prompts wait for it anyway.
            is_refusal = error.status_code is not None and error.status_code >= 400
            if verdict.decision is not Decision.RETRY or not is_refusal:
                raise
        time.sleep(verdict.delay_s)
        waited_s += verdict.delay_s
    return look(provider, deadline_s=deadline_s)


def _waiting(error: ProviderError) -> str:
    """Return a warning that the provider cannot be reached, with the time the prompts wait."""
    patience = f"{duration(conf().PROVIDER_PATIENCE)} (PROVIDER_PATIENCE)"
    return f"Warning: {excerpt(error.message)}\nThe prompts wait for it, up to {patience}."


def _warning(provider: Provider, error: ProviderError) -> str:
    """Return a warning: the reply received instead of a list of models, and a likely cause."""
    answer = f"Warning: {provider.base_url}/models answered {excerpt(error.message)}"
    if isinstance(error, AuthError):
        doubt = f"The key may only lack permission to list models: {FIRST_CALL}"
        return f"{answer}\n{_key(provider)} {doubt}"
    hint = _better_url(provider.base_url)
    return f"{answer}\n{hint}Not every provider lists its models: {FIRST_CALL}"


def _better_url(base_url: str) -> str:
    """Return a hint for a base URL that does not end in /v1."""
    start, version, rest = f"{base_url}/".partition("/v1/")
    if version and not rest:
        return ""
    return f"Base URLs usually end in /v1: did you mean {start.rstrip('/')}/v1? "


def _key(provider: Provider) -> str:
    """Name the key that was rejected, and how to change it."""
    if provider.api_key_encrypted:
        return f"If the key of provider {provider.name!r} is wrong, enter it again in the admin."
    if provider.api_key_env:
        return f"The key comes from the environment variable {provider.api_key_env}."
    return "The provider was called without a key; set one with --api-key-env."
