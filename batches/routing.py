"""Which provider takes a batch: the one named, with the model, the default, or the only one."""

from batches.models import Provider


class NoProvider(Exception):
    """There is no provider for a batch; the message says what to do, `param` what was at fault."""

    def __init__(self, message: str, *, param: str | None, code: str) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def choose_provider(*, name: str | None, model: str | None) -> Provider:
    """The provider for a batch whose first prompt asks for a model. Raises NoProvider.

    Of several that have the model it is the default one, or else the oldest. Whether it takes the
    models of all the prompts is seen when they are read.
    """
    if name is not None:
        return _named(name)
    # The default first; there are few.
    providers = list(Provider.objects.order_by("-is_default", "pk"))
    for provider in providers:
        if model is not None and model in provider.model_names:
            return provider
    if providers and (providers[0].is_default or len(providers) == 1):
        return providers[0]
    raise NoProvider(_remedy(providers, model), param="provider", code="provider_required")


def any_provider() -> Provider:
    """A provider for a batch that will not run. Raises NoProvider."""
    provider = Provider.objects.order_by("-is_default", "pk").first()
    if provider is None:
        raise NoProvider(_remedy([], None), param="provider", code="provider_required")
    return provider


def _named(name: str) -> Provider:
    provider = Provider.objects.filter(name=name).first()
    if provider is None:
        names = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True))
        raise NoProvider(
            f"There is no provider {name!r}; there is {names or 'none yet'}.",
            param="provider",
            code="provider_not_found",
        )
    return provider


def _remedy(providers: list[Provider], model: str | None) -> str:
    if not providers:
        return "There is no provider yet; have an administrator add one."
    names = ", ".join(sorted(provider.name for provider in providers))
    which = f"no provider lists the model {model!r}" if model else "no model was found to go by"
    return f"Name a provider: {which}, and none is the default. There is {names}."
