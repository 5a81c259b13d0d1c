"""Is a provider reachable as it is configured? One look at its list of models, no tokens spent."""

import asyncio
import time
from dataclasses import dataclass, field

from batches.engine.errors import DeadlineExceeded, ProviderError
from batches.models import Provider
from batches.provider_client import Look
from batches.providers import ProviderMisconfigured, provider_client

DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it; `error` says why the provider did not answer, and is empty if it did.

    `unlisted` are those of the provider's own list of models that it does not tell of.
    """

    latency_s: float
    models: list[str] = field(default_factory=list)
    limits: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    error: str = ""


def probe(provider: Provider) -> Probe:
    """Ask a provider for its models. Never fails; takes 15 seconds at most."""
    began = time.monotonic()
    try:
        found = look(provider)
    except (ProviderError, ProviderMisconfigured) as error:
        return Probe(time.monotonic() - began, error=str(error))
    unlisted = sorted(set(provider.model_names) - set(found.models))
    return Probe(time.monotonic() - began, sorted(found.models), found.limits, unlisted)


def look(provider: Provider, *, deadline_s: float = DEADLINE_S) -> Look:
    """What a provider says of itself. Raises ProviderMisconfigured or a ProviderError."""
    try:
        return asyncio.run(_look(provider, deadline_s))
    except TimeoutError as error:
        raise DeadlineExceeded(f"{provider.base_url}: no answer within {deadline_s:g} s") from error


async def _look(provider: Provider, deadline_s: float) -> Look:
    async with asyncio.timeout(deadline_s), provider_client(provider, connections=1) as client:
        return await client.look()
