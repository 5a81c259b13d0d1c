"""Operations of users on providers. Every entry point calls these functions."""

from itertools import chain, count

from django.db import IntegrityError

from batches.actions.batches import enqueue_batch
from batches.conf import conf
from batches.database import transaction
from batches.errors import NotPossible
from batches.lifecycle import PauseKind
from batches.limits.limit_stores import forget_limits
from batches.limits.prices import check_prices
from batches.models import Batch, Provider
from batches.models.provider import AD_HOC_NAME_CHARS
from batches.providers import breaker
from batches.providers.client import checked_base_url


def pause_provider(provider: Provider, reason: str = "") -> None:
    """Pause a provider until staff resume it; calls in flight finish."""
    breaker.pause(provider.pk, PauseKind.STAFF, f"manual: {reason or 'paused by staff'}")
    provider.refresh_from_db()


def resume_provider(provider: Provider, *, paused_by_staff: bool = True) -> None:
    """Resume a paused provider and its batches.

    With `paused_by_staff=False`, a provider that staff have paused stays paused.
    """
    if breaker.reset(provider.pk, paused_by_staff=paused_by_staff):
        for batch in Batch.objects.waiting().filter(provider=provider):
            enqueue_batch(batch)
    provider.refresh_from_db()


def try_again(provider: Provider) -> None:
    """Open a provider that its errors have paused. Raise NotPossible if staff have paused it."""
    resume_provider(provider, paused_by_staff=False)
    if provider.pause_reason:
        raise NotPossible(
            f"provider {provider.name!r} is paused ({provider.pause_reason}); "
            "resume it in the admin first"
        )


def find_provider(name: str) -> Provider:
    """Return the provider of this name. Raise NotPossible."""
    try:
        return Provider.objects.get(name=name)
    except Provider.DoesNotExist:
        names = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True))
        raise NotPossible(
            f"there is no provider {name!r}; there is {names or 'none yet'}. "
            "An endpoint can also be given with --base-url"
        ) from None


def default_provider() -> Provider:
    """Return the default provider, or the only one. Raise NotPossible."""
    chosen = list(Provider.objects.filter(is_default=True)) or list(Provider.objects.all()[:2])
    if len(chosen) != 1:
        raise NotPossible("name a provider with --provider, or an endpoint with --base-url")
    return chosen[0]


def provider_at(base_url: str, api_key_env: str, name: str = "", **limits: int) -> Provider:
    """Return the provider with this base URL and key; create it if needed. Raise NotPossible.

    A new provider has the given name; without one it counts as ad hoc. Given limits
    (requests_per_minute, tokens_per_minute) are stored on it.
    """
    provider = provider_draft(base_url, api_key_env, name)
    if not provider.pk:
        try:
            with transaction.atomic():
                provider.save(force_insert=True)
        except IntegrityError:
            # Another process has just created it, with the same name.
            provider = provider_draft(base_url, api_key_env, name)
    if limits:
        Provider.objects.filter(pk=provider.pk).update(**limits)
    return Provider.objects.get(pk=provider.pk)


def set_price(provider: Provider, model: str, *, given: float, made: float) -> Provider:
    """Set the price of a model, in dollars per million tokens in and out. Raise NotPossible.

    Its price of cached tokens stays.
    """
    price = {"input": given, "output": made}
    try:
        check_prices({model: price})
    except ValueError as error:
        raise NotPossible(str(error)) from error
    with transaction.atomic():
        # Another process may set the price of another model.
        locked = Provider.objects.select_for_update().get(pk=provider.pk)
        own = {**locked.prices.get(model, {}), **price}
        Provider.objects.filter(pk=provider.pk).update(prices={**locked.prices, model: own})
    return Provider.objects.get(pk=provider.pk)


def provider_draft(base_url: str, api_key_env: str, name: str = "") -> Provider:
    """Return the provider with this base URL and key, or an unsaved draft. Raise NotPossible.

    A provider with a stored key is not returned: it must be chosen by its name.
    """
    try:
        base_url = checked_base_url(base_url)
    except ValueError as error:
        raise NotPossible(str(error)) from error
    # Choose the name before the search: a provider created in between has this name or is found.
    name = _free_name(name or f"{base_url} ({api_key_env or 'no key'})")
    same = Provider.objects.filter(base_url=base_url, api_key_env=api_key_env, api_key_encrypted="")
    return same.order_by("pk").first() or Provider(
        name=name,
        base_url=base_url,
        api_key_env=api_key_env,
        # Without this, database defaults of these columns are missing until it is stored.
        api_key_encrypted="",
        pause_kind="",
        pause_reason="",
    )


def _free_name(wanted: str) -> str:
    """Return a free name: a renamed or moved provider may have the wanted name."""
    cut = wanted[:AD_HOC_NAME_CHARS]
    names = chain([wanted[:100]], (f"{cut} {number}" for number in count(2)))
    return next(name for name in names if not Provider.objects.filter(name=name).exists())


def forget_learned_limits(provider: Provider) -> None:
    """Forget the learned limits of a provider. Raise NotPossible if Redis is unavailable."""
    try:
        forget_limits(conf().RATE_LIMIT_REDIS_URL, provider.limits_name)
    except OSError as error:
        raise NotPossible(
            f"the learned limits could not be forgotten, because Redis is unavailable: {error}. "
            "Try again when it is back"
        ) from error
    Provider.objects.filter(pk=provider.pk).update(announced_limits=None)


def find_by_model(provider: Provider, model: str) -> None:
    """Set the model of a provider, so that batches find it, unless its models are known."""
    Provider.objects.filter(pk=provider.pk, model_names=[]).update(model_names=[model])
