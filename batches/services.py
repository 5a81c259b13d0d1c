"""What a user may ask for. Every entry point calls these functions and nothing below them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from batches.engine.execute import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S
from batches.engine.records import Endpoint, Schedule
from batches.engine.retry import RetryPolicy
from batches.finishing import finish_batch
from batches.ingest import discard, store_prompts
from batches.inputs import LineError, NewPrompt
from batches.lifecycle import RETRYABLE, TERMINAL, BatchStatus, ChunkState
from batches.models import Batch, Provider, Result
from batches.provider_client import checked_base_url
from batches.purging import purge
from batches.tasks import ring


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
    parallelism: int = 1
    priority: int = 0
    completion_window: timedelta | None = None
    in_background: bool = True


def create_batch(
    provider: Provider,
    items: Iterable[NewPrompt | LineError],
    options: BatchOptions,
    *,
    owner: User | None = None,
) -> Batch:
    """Make a batch of these prompts and have it run. Raises InputRefused, and leaves nothing."""
    window = options.completion_window
    batch = Batch.objects.create(
        owner=owner,
        provider=provider,
        parallelism=options.parallelism,
        priority=options.priority,
        in_background=options.in_background,
        expires_at=timezone.now() + window if window else None,
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
    ring_for(batch)
    return batch


def ring_for(batch: Batch) -> None:
    """Have the workers look at a batch, once for each runner that it may have."""
    if not batch.in_background:
        return
    for _ in range(min(batch.parallelism, -(-batch.total // batch.batch_size))):
        transaction.on_commit(partial(ring, batch.pk), robust=True)


def resume_batch(batch: Batch) -> None:
    """Let a paused batch go on."""
    Batch.objects.filter(pk=batch.pk).update(pause_reason="")
    batch.refresh_from_db()
    ring_for(batch)


def cancel_batch(batch: Batch) -> Batch:
    """Cancel a batch: nothing more is sent, calls in flight are kept, the rest is `cancelled`.

    Cancelling it again changes nothing. Raises NotPossible for one that has ended otherwise.
    """
    this = Batch.objects.filter(pk=batch.pk)
    cancellable = {BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS}
    if this.move(BatchStatus.CANCELLING, sources=cancellable):
        finish_batch(batch.pk)
    batch.refresh_from_db()
    if batch.status not in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
        raise NotPossible(f"Cannot cancel a batch with status '{batch.status}'.")
    return batch


def retry_batch(batch: Batch) -> Batch:
    """Run again only the prompts that failed, were cancelled or expired; the others stay.

    A completion window begins anew. Raises NotPossible for a batch that has not ended, whose
    input was refused, or of which nothing failed.
    """
    failed = Result.objects.filter(batch=batch, status=Result.FAILED)
    with transaction.atomic():
        batch.refresh_from_db()
        window = batch.expires_at - batch.created_at if batch.expires_at else None
        anew = {
            **dict.fromkeys(("finalizing_at", "completed_at", "expired_at"), None),
            **dict.fromkeys(("cancelling_at", "cancelled_at"), None),
            "failed": 0,
            "expires_at": timezone.now() + window if window else None,
            "pause_reason": "",
        }
        if not failed.exists():
            raise NotPossible("no prompt of this batch has failed")
        this = Batch.objects.filter(pk=batch.pk, deleted_at=None)
        if not this.move(BatchStatus.IN_PROGRESS, sources=RETRYABLE, **anew):
            raise NotPossible(f"Cannot retry a batch with status '{batch.status}'.")
        lo = F("index") - F("index") % batch.batch_size
        chunks = batch.chunks.filter(lo__in=failed.annotate(lo=lo).values("lo"))
        chunks.update(state=ChunkState.READY, crashes=0, suspect=None, suspect_crashes=0)
        failed._raw_delete(failed.db)
    batch.refresh_from_db()
    ring_for(batch)
    return batch


def delete_batch(batch: Batch) -> None:
    """Delete a batch that has ended, with its prompts and results. Raises NotPossible."""
    this = Batch.objects.filter(pk=batch.pk, status__in=TERMINAL)
    if not this.update(deleted_at=Now()):
        batch.refresh_from_db()
        raise NotPossible(f"Cannot delete a batch with status '{batch.status}'; cancel it first.")
    purge(batch.pk)


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
