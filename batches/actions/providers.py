"""What a user may do with providers. Every entry point calls these functions."""

from itertools import chain, count

from django.conf import settings
from django.db import IntegrityError, transaction

from batches.actions.batches import ring_for
from batches.errors import NotPossible
from batches.lifecycle import PauseKind
from batches.limits.rate_limits import UNREACHABLE, forget_limits
from batches.models import Batch, Provider
from batches.providers import breaker
from batches.providers.client import checked_base_url


def pause_provider(provider: Provider, reason: str = "") -> None:
    """Send nothing more to a provider, until it is resumed; calls in flight are kept."""
    breaker.pause(provider.pk, PauseKind.STAFF, f"manual: {reason or 'paused by staff'}")
    provider.refresh_from_db()


def resume_provider(provider: Provider, *, paused_by_staff: bool = True) -> None:
    """Let the batches of a paused provider go on, or only of one that its errors have paused."""
    if breaker.reset(provider.pk, paused_by_staff=paused_by_staff):
        for batch in Batch.objects.waiting().filter(provider=provider):
            ring_for(batch)
    provider.refresh_from_db()


def try_again(provider: Provider) -> None:
    """Open a provider that its errors have paused. Raises NotPossible if staff have paused it."""
    resume_provider(provider, paused_by_staff=False)
    if provider.pause_reason:
        raise NotPossible(
            f"provider {provider.name!r} is paused ({provider.pause_reason}); "
            "resume it in the admin first"
        )


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


def provider_at(base_url: str, api_key_env: str, **limits: int) -> Provider:
    """The provider with this address and key, made if there is none. Raises NotPossible.

    Limits that are given (requests_per_minute, tokens_per_minute) are its limits from now on.
    """
    provider = provider_draft(base_url, api_key_env)
    if not provider.pk:
        try:
            with transaction.atomic():
                provider.save(force_insert=True)
        except IntegrityError:
            # Somebody else has made it at this moment: their name is the same.
            provider = provider_draft(base_url, api_key_env)
    if limits:
        Provider.objects.filter(pk=provider.pk).update(**limits)
    return Provider.objects.get(pk=provider.pk)


def provider_draft(base_url: str, api_key_env: str) -> Provider:
    """The provider with this address and key, not stored if there is none. Raises NotPossible.

    One whose key is stored is for those who name it.
    """
    try:
        base_url = checked_base_url(base_url)
    except ValueError as error:
        raise NotPossible(str(error)) from error
    # Before the look for others: what is made in between has this name, or is found.
    name = _free_name(f"{base_url} ({api_key_env or 'no key'})")
    same = Provider.objects.filter(base_url=base_url, api_key_env=api_key_env, api_key_encrypted="")
    return same.order_by("pk").first() or Provider(
        name=name,
        base_url=base_url,
        api_key_env=api_key_env,
        # Else what the database has for these is only there when it is stored.
        api_key_encrypted="",
        pause_kind="",
        pause_reason="",
    )


def _free_name(wanted: str) -> str:
    """A name that no provider has: one that was renamed or moved may have the wanted one."""
    names = chain([wanted[:100]], (f"{wanted[:90]} {number}" for number in count(2)))
    return next(name for name in names if not Provider.objects.filter(name=name).exists())


def forget_learned_limits(provider: Provider) -> None:
    """Forget what was learned of a provider's limits. Raises NotPossible while Redis is away."""
    try:
        forget_limits(settings.RATE_LIMIT_REDIS_URL, provider.limits_name)
    except UNREACHABLE as error:
        raise NotPossible(
            f"what was learned could not be forgotten, because Redis is away: {error}. Try again "
            "when it is back"
        ) from error
    Provider.objects.filter(pk=provider.pk).update(announced_limits=None)


def find_by_model(provider: Provider, model: str) -> None:
    """Have a provider be found by this model, unless its models were told already."""
    Provider.objects.filter(pk=provider.pk, model_names=[]).update(model_names=[model])
