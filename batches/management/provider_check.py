"""A look at a provider before a prompt is read."""

from batches import services
from batches.engine.errors import (
    AuthError,
    ConfigError,
    DeadlineExceeded,
    NetworkError,
    ProviderError,
)
from batches.management.console import excerpt
from batches.management.usage import UsageError
from batches.models import Provider
from batches.probing import DEADLINE_S, look


def check_provider(provider: Provider, timeout_s: float) -> str:
    """Ask a provider for its models, to find a wrong address or key before a prompt is read.

    It has no more time than any call has. Returns a warning, or "".

    Whoever starts this wants a provider tried again that its errors have paused.
    """
    warning = ""
    try:
        look(provider, deadline_s=min(timeout_s, DEADLINE_S))
    except AuthError as error:
        raise UsageError(refused_key(provider, error)) from error
    except (NetworkError, DeadlineExceeded) as error:
        raise UsageError(error.message) from error
    except ConfigError as error:
        # Not every provider lists its models; an address that may not be called is another matter.
        if error.status_code is None:
            raise UsageError(error.message) from error
        warning = no_models(provider, error)
    except ProviderError:
        pass
    if provider.pk:
        services.try_again(provider)
    return warning


def refused_key(provider: Provider, error: AuthError) -> str:
    """Whose key is refused by whom, and what to do."""
    answer = f"{provider.base_url} answers {excerpt(error.message)}"
    if provider.api_key_encrypted:
        return f"{answer}\nEnter the key of provider {provider.name!r} anew, in the admin."
    if provider.api_key_env:
        return f"{answer}\nThe key is that of the environment variable {provider.api_key_env}."
    return f"{answer}\nIt was called without a key; give one with --api-key-env."


def no_models(provider: Provider, error: ConfigError) -> str:
    """That the address may be wrong: all that is known is that it lists no models."""
    hint = "" if provider.base_url.endswith("/v1") else "; base URLs usually end in /v1"
    return f"Warning: {provider.base_url}/models answers {excerpt(error.message)}{hint}"
