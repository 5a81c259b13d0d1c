"""Fields of the form for a new batch: run options, endpoints, providers with their models."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.db.models import F

from batches.actions.options import RUN_OPTIONS
from batches.admin.widgets import Number, SelectInput, Toggle
from batches.models import Batch, Provider
from batches.providers.answers import last_answer, state_of, with_last_answer
from batches.providers.routing import known_endpoints

# The models of this many batches are suggested for providers that list none.
RECENT_BATCHES = 500


def endpoint_choices() -> list[tuple[str, str]]:
    """Return the endpoints of every provider, then the paths that staff allow on some."""
    return [(path, path) for path in known_endpoints()]


def number(name: str, field: type[forms.IntegerField] = forms.IntegerField) -> forms.Field:
    """Return the field of a run option that is a number."""
    option = RUN_OPTIONS[name]
    bounds: dict[str, Any] = {"min_value": option.least, "max_value": option.most}
    if option.above is not None:
        bounds["validators"] = [above_validator(option.above)]
    return field(
        label=option.label,
        help_text=option.help,
        initial=option.default,
        required=option.default is not None,
        widget=Number(step="any" if field is forms.FloatField else "1"),
        **bounds,
    )


def switch(name: str) -> forms.BooleanField:
    """Return the field of a run option that is on or off."""
    option = RUN_OPTIONS[name]
    return forms.BooleanField(
        label=option.label,
        help_text=option.help,
        initial=option.default,
        required=False,
        widget=Toggle(),
    )


def choice(name: str) -> forms.ChoiceField:
    """Return the field of a run option with a few values."""
    option = RUN_OPTIONS[name]
    return forms.ChoiceField(
        label=option.label,
        help_text=option.help,
        initial=option.default,
        choices=[(value, value) for value in option.choices],
        widget=SelectInput(),
    )


def above_validator(bound: float) -> Callable[[float], None]:
    """Return a validator that refuses this number and smaller ones."""

    def check(value: float) -> None:
        if value <= bound:
            raise forms.ValidationError(f"Ensure this value is greater than {bound:g}.")

    return check


class ProviderChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A provider: the default first, then the ones that answered last."""

    def __init__(self) -> None:
        known = with_last_answer(Provider.objects.all())
        super().__init__(
            known.order_by("-is_default", F("answered").desc(), "name"),
            widget=SelectInput(),
            empty_label="Choose a provider",
        )

    def label_from_instance(self, obj: Provider) -> str:
        marks = ["default"] if obj.is_default else []
        marks += ["ad hoc"] if obj.is_ad_hoc else []
        state = state_of(obj)
        marks += [state] if state != "answering" else []
        return f"{obj} ({', '.join(marks)})" if marks else str(obj)

    def choose(self) -> Provider | None:
        """Return the provider to begin with: the default, one that has answered, or the only one.

        Without such a provider the user has to choose.
        """
        some: list[Provider] = list((self.queryset or Provider.objects.none())[:2])
        if some and (some[0].is_default or last_answer(some[0]) or len(some) == 1):
            return some[0]
        return None


def models_by_provider(providers: Iterable[Provider]) -> dict[int, list[str]]:
    """Return the models to suggest for each provider: the ones it lists, else the ones it ran."""
    newest = Batch.objects.filter(deleted_at=None).exclude(model="").order_by("-pk")
    ran: dict[int, dict[str, None]] = defaultdict(dict)
    for provider, model in newest.values_list("provider", "model")[:RECENT_BATCHES]:
        ran[provider][model] = None
    return {one.pk: one.model_names or list(ran[one.pk]) for one in providers}
