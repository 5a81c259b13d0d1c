"""What a user may ask for. Every entry point calls these functions and nothing below them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from batches.engine.execute import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S
from batches.engine.records import Endpoint, Schedule
from batches.engine.retry import RetryPolicy
from batches.ingest import discard, store_prompts
from batches.inputs import LineError, NewPrompt
from batches.models import Batch, Provider
from batches.provider_client import checked_base_url


class NotPossible(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run; `defaults` lie under the body of every prompt."""

    endpoint: Endpoint = "/v1/chat/completions"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = DEFAULT_BATCH_SIZE
    schedule: Schedule = "rolling"
    max_attempts: int = RetryPolicy().max_attempts
    timeout_s: float = DEFAULT_TIMEOUT_S


def create_batch(
    provider: Provider, items: Iterable[NewPrompt | LineError], options: BatchOptions
) -> Batch:
    """Make a batch of these prompts, ready to run. Raises InputRefused, and leaves nothing."""
    batch = Batch.objects.create(
        provider=provider,
        endpoint=options.endpoint,
        defaults=dict(options.defaults),
        batch_size=options.batch_size,
        schedule=options.schedule,
        max_attempts=options.max_attempts,
        timeout_s=options.timeout_s,
    )
    try:
        store_prompts(batch, items, most=settings.MAX_PROMPTS_PER_BATCH)
    except BaseException:
        discard(batch)
        raise
    batch.refresh_from_db()
    return batch


def resume_batch(batch: Batch) -> None:
    """Let a paused batch go on."""
    Batch.objects.filter(pk=batch.pk).update(pause_reason="")


def find_batch(public_id: str) -> Batch:
    """The batch with this id. Raises NotPossible."""
    try:
        return Batch.objects.select_related("provider").get(public_id=public_id)
    except Batch.DoesNotExist:
        newest = Batch.objects.order_by("-pk").values_list("public_id", flat=True).first()
        hint = f"; the newest is {newest}" if newest else ""
        raise NotPossible(f"there is no batch {public_id!r}{hint}") from None


def find_provider(name: str) -> Provider:
    """The provider of this name. Raises NotPossible."""
    try:
        return Provider.objects.get(name=name)
    except Provider.DoesNotExist:
        names = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True))
        raise NotPossible(
            f"there is no provider {name!r}; there is {names or 'none yet'}. "
            "An endpoint can also be given with --base-url"
        ) from None


def default_provider() -> Provider:
    """The default provider, or the only one. Raises NotPossible."""
    chosen = list(Provider.objects.filter(is_default=True)) or list(Provider.objects.all()[:2])
    if len(chosen) != 1:
        raise NotPossible("name a provider with --provider, or an endpoint with --base-url")
    return chosen[0]


def provider_at(base_url: str, api_key_env: str) -> Provider:
    """The provider with this address and key, made if there is none. Raises NotPossible."""
    try:
        base_url = checked_base_url(base_url)
    except ValueError as error:
        raise NotPossible(str(error)) from error
    name = f"{base_url} ({api_key_env or 'no key'})"[:100]
    provider, _ = Provider.objects.get_or_create(
        base_url=base_url, api_key_env=api_key_env, defaults={"name": name}
    )
    return provider
