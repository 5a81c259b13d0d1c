"""Which provider takes a batch: the one named, with the model, the default, or the only one."""

from collections.abc import Iterable

from batches.models import Provider

_NONE_YET = "There is no provider yet; have an administrator add one."


class NoProvider(Exception):
    """There is no provider for a batch; the message says what to do, `param` what was at fault.

    `model` is the model that no provider takes, if that is why.
    """

    def __init__(
        self, message: str, *, param: str | None, code: str, model: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.model = model


def choose_provider(*, name: str | None, model: str | None, staff: bool) -> Provider:
    """The provider for a batch whose first prompt asks for a model. Raises NoProvider.

    Of several that have the model it is the default one, or else the oldest. Whether it takes the
    models of all the prompts is seen when they are read. Only staff are told which providers there
    are: a name may be a private address with the variable of its key.
    """
    if name is not None:
        return _named(name, staff=staff)
    # The default first; there are few.
    providers = list(Provider.objects.order_by("-is_default", "pk"))
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
    """A provider for a batch that will not run. Raises NoProvider."""
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


def _remedy(providers: list[Provider], model: str | None, *, staff: bool) -> str:
    if not providers:
        return _NONE_YET
    which = f"No provider lists the model {model!r}" if model else "No model was found to go by"
    return f"{which}, no provider was named, and none is the default. " + _choice(
        providers, staff=staff
    )


def _choice(providers: Iterable[Provider], *, staff: bool) -> str:
    """What may be asked for instead."""
    if not staff:
        return "Ask for a model of GET /v1/models, or ask staff which provider to name."
    names = ", ".join(sorted(provider.name for provider in providers))
    return f"Name one of these: {names}." if names else _NONE_YET
