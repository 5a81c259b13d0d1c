"""A look at a provider before a prompt is read."""

from batches import services
from batches.engine.errors import (
    AuthError,
    ConfigError,
    DeadlineExceeded,
    NetworkError,
    ProviderError,
)
from batches.management.usage import UsageError
from batches.models import Provider
from batches.probing import DEADLINE_S, look


def check_provider(provider: Provider, timeout_s: float) -> None:
    """Ask a provider for its models, to find a wrong address or key before a prompt is read.

    It has no more time than any call has.

    Whoever starts this wants a provider tried again that its errors have paused.
    """
    try:
        look(provider, deadline_s=min(timeout_s, DEADLINE_S))
    except (AuthError, NetworkError, DeadlineExceeded) as error:
        raise UsageError(error.message) from error
    except ConfigError as error:
        # Not every provider lists its models; an address that may not be called is another matter.
        if error.status_code is None:
            raise UsageError(error.message) from error
    except ProviderError:
        pass
    if provider.pk:
        services.try_again(provider)
