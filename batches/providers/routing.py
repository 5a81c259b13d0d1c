"""Choose the provider of a batch: by name, by model, the default, or the only one."""

from collections.abc import Iterable

from batches.engine.endpoints import CHAT, ENDPOINTS
from batches.engine.text.wording import supported, value_text
from batches.models import Provider

_NONE_YET = "There is no provider yet; have an administrator add one."


class NoProvider(Exception):
    """No provider fits a batch; the message names the next step, `param` the field at fault.

    `model` is the model that no provider takes, if that is the reason.
    """

    def __init__(
        self, message: str, *, param: str | None, code: str, model: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.model = model


def known_endpoints() -> tuple[str, ...]:
    """Return the endpoints of every provider, then the paths that staff allow on some."""
    extra = Provider.objects.exclude(extra_endpoints=[]).values_list("extra_endpoints", flat=True)
    return (*ENDPOINTS, *sorted({path for paths in extra for path in paths}))


def check_endpoint(endpoint: str) -> None:
    """Raise NoProvider for an endpoint that is neither known nor allowed on a provider."""
    if endpoint in ENDPOINTS:
        return
    known = known_endpoints()
    if endpoint not in known:
        hint = f"{supported(known)} Staff can allow other paths."
        raise NoProvider(
            value_text("endpoint", endpoint, hint), param="endpoint", code="invalid_value"
        )


def choose_provider(
    *, name: str | None, model: str | None, staff: bool, endpoint: str = CHAT
) -> Provider:
    """Return the provider for a batch whose first prompt has this model. Raise NoProvider.

    If several providers list the model, the default one is chosen, or else the oldest. The models
    of the other prompts are checked when they are read. The error lists providers only for staff: a
    name may contain a private address and the variable of its key.
    """
    check_endpoint(endpoint)
    if name is not None:
        provider = _named(name, staff=staff)
        check_allowed(provider, endpoint)
        return provider
    # The default comes first. There are only a few providers, so load all.
    there = Provider.objects.order_by("-is_default", "pk")
    providers = [provider for provider in there if provider.allows(endpoint)]
    for provider in providers:
        if model is not None and model in provider.model_names:
            return provider
    if providers and (providers[0].is_default or len(providers) == 1):
        return providers[0]
    raise NoProvider(
        _remedy(providers, model, staff=staff),
        param="provider",
        code="provider_required",
        model=model if providers else None,
    )


def any_provider() -> Provider:
    """Return a provider for a batch that will not run. Raise NoProvider if there is none."""
    provider = Provider.objects.order_by("-is_default", "pk").first()
    if provider is None:
        raise NoProvider(_NONE_YET, param="provider", code="provider_required")
    return provider


def _named(name: str, *, staff: bool) -> Provider:
    provider = Provider.objects.filter(name=name).first()
    if provider is None:
        raise NoProvider(
            f"There is no provider {name!r}. {_choice(Provider.objects.all(), staff=staff)}",
            param="provider",
            code="provider_not_found",
        )
    return provider


def check_allowed(provider: Provider, endpoint: str) -> None:
    """Raise NoProvider for an endpoint that is not allowed on a provider."""
    if not provider.allows(endpoint):
        raise NoProvider(
            f"Invalid value for 'endpoint': provider {provider.name!r} does not allow "
            f"{endpoint!r}. Have staff add it to the endpoints of the provider, or name another.",
            param="endpoint",
            code="invalid_value",
        )


def _remedy(providers: list[Provider], model: str | None, *, staff: bool) -> str:
    if not providers:
        return _NONE_YET
    which = f"No provider lists the model {model!r}" if model else "The batch names no model"
    return f"{which}, no provider was named, and none is the default. " + _choice(
        providers, staff=staff
    )


def _choice(providers: Iterable[Provider], *, staff: bool) -> str:
    """Return the next step for the user."""
    if not staff:
        return "Use a model of GET /v1/models, or ask staff which provider to name."
    names = ", ".join(sorted(provider.name for provider in providers))
    return f"Name one of these: {names}." if names else _NONE_YET
