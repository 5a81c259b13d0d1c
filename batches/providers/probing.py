"""Test a provider with its configuration: ask for its list of models, which costs no tokens."""

import asyncio
import time
from dataclasses import dataclass, field

from batches.engine.errors import AuthError, DeadlineExceeded, ProviderError
from batches.models import Provider
from batches.providers.client import Look
from batches.providers.configured import ProviderMisconfigured, provider_client

DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a connection test: a list of models, or `doubt`, or `error`.

    `error` says why the provider cannot be called. `doubt` describes an answer other than a list of
    models; the provider may still answer prompts. `unlisted` are models of our row that are missing
    in its list.
    """

    latency_s: float
    models: list[str] = field(default_factory=list)
    limits: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    doubt: str = ""
    error: str = ""


def probe(provider: Provider) -> Probe:
    """Ask a provider for its models. Never raise an error; take at most 15 seconds."""
    began = time.monotonic()
    try:
        found = look(provider)
    except (ProviderError, ProviderMisconfigured) as error:
        latency_s = time.monotonic() - began
        if isinstance(error, ProviderError) and error.status_code is not None:
            return Probe(latency_s, doubt=_doubt(error))
        return Probe(latency_s, error=str(error))
    unlisted = sorted(set(provider.model_names) - set(found.models))
    return Probe(time.monotonic() - began, sorted(found.models), found.limits, unlisted)


def _doubt(error: ProviderError) -> str:
    message = error.message.rstrip(".")
    if isinstance(error, AuthError):
        return f"{message}. The key is wrong, or may not list models: the first call decides."
    return f"{message}. Not every provider lists its models: the first call decides."


def look(provider: Provider, *, deadline_s: float = DEADLINE_S) -> Look:
    """Return a provider's models and limits. Raise ProviderMisconfigured or a ProviderError."""
    try:
        return asyncio.run(_look(provider, deadline_s))
    except TimeoutError as error:
        raise DeadlineExceeded(f"{provider.base_url}: no answer within {deadline_s:g} s") from error


async def _look(provider: Provider, deadline_s: float) -> Look:
    async with asyncio.timeout(deadline_s), provider_client(provider, connections=1) as client:
        return await client.look()
