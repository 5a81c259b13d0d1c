"""Prices of tokens: the prices that staff set on the provider, else the published prices.

The published prices are part of the `genai-prices` package; no network request is made.
"""

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from batches.engine.records import Usage
from batches.models import Batch, Provider
from batches.models.bounds import MAX_COST

logger = logging.getLogger(__name__)

MILLION = Decimal(1_000_000)
# Dollars per million tokens. A higher price is a typing error, and sums of it would overflow.
MAX_PRICE = MILLION
UNREADABLE = (TypeError, AttributeError, KeyError, InvalidOperation, ValueError)


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per token."""

    input: Decimal
    output: Decimal
    cached: Decimal

    def cost(self, usage: Usage) -> Decimal:
        cached = min(usage.cached_tokens, usage.input_tokens)
        fresh = usage.input_tokens - cached
        cost = fresh * self.input + cached * self.cached + usage.output_tokens * self.output
        return min(cost, MAX_COST)


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of a provider's models; `own` are the prices that staff have set."""

    base_url: str
    own: Mapping[str, Any]

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """Return the cost in dollars; None if the model has no known price."""
        own = self.own.get(model)
        try:
            found = _own_prices(own) if own is not None else _published_prices(self.base_url, model)
        except UNREADABLE as error:
            # The form checks prices; an unreadable price from elsewhere must not lose a reply.
            logger.warning("The price of %s cannot be read: %s", model, error)
            return None
        return found.cost(usage) if found else None


def price_list_of(provider: Provider) -> PriceList:
    """Return the prices of the models of a provider."""
    return PriceList(provider.base_url, provider.prices)


def cost_of(batch: Batch) -> Decimal | None:
    """Return the cost of a batch in dollars, or None if no price is known, or not the one of a
    stronger model."""
    if not all(is_priced(batch.provider, step["model"]) for step in batch.escalate or ()):
        return None
    return batch.cost if batch.cost or is_priced(batch.provider, batch.model) else None


def saved_cost(batch: Batch) -> Decimal | None:
    """Return the dollars that the answers used again would have cost, by the current price of the
    model; None if no price is known, or if several models gave the answers."""
    if batch.escalate:
        return None
    usage = Usage(batch.saved_input_tokens, batch.saved_output_tokens)
    return price_list_of(batch.provider).cost(batch.model, usage) if batch.model else None


def is_priced(provider: Provider, model: str) -> bool:
    """Return True if the price of a model is known."""
    return price_list_of(provider).cost(model, Usage()) is not None


def check_prices(overrides: object) -> None:
    """Raise ValueError with a readable message if the prices are invalid."""
    if not isinstance(overrides, Mapping):
        raise ValueError('write prices as {"some-model": {"input": 0.5, "output": 1.5}}')
    for model, own in overrides.items():
        try:
            _own_prices(own)
        except UNREADABLE as error:
            raise ValueError(
                f'{model}: write its price as {{"input": 0.5, "output": 1.5}}, in dollars per '
                'million tokens, and "cached" if cached tokens have another price'
            ) from error


def _own_prices(own: Mapping[str, Any]) -> Prices:
    given, made = Decimal(str(own["input"])), Decimal(str(own["output"]))
    cached = Decimal(str(own.get("cached", given)))
    if not all(price.is_finite() and 0 <= price <= MAX_PRICE for price in (given, made, cached)):
        raise ValueError(own)
    return Prices(given / MILLION, made / MILLION, cached / MILLION)


@lru_cache(maxsize=1024)
def _published_prices(base_url: str, model: str) -> Prices | None:
    if _is_own_machine(base_url):
        return None
    # Import it on first use, since the import takes a third of a second.
    from genai_prices import Usage as PricedUsage  # noqa: PLC0415 - takes long
    from genai_prices import calc_price  # noqa: PLC0415 - takes long

    try:
        prices = [
            calc_price(usage, model, provider_api_url=base_url).total_price
            for usage in (
                PricedUsage(input_tokens=1000),
                PricedUsage(output_tokens=1000),
                PricedUsage(input_tokens=1000, cache_read_tokens=1000),
            )
        ]
    except LookupError:
        return None
    except Exception:
        # An error in the price table must not stop a batch.
        logger.exception("No price for %s at %s", model, base_url)
        return None
    return Prices(*(price / 1000 for price in prices))


def _is_own_machine(base_url: str) -> bool:
    """Return True if a URL cannot belong to a provider that publishes prices."""
    host = urlsplit(base_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True
