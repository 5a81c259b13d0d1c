"""Checks of the options of a batch against its provider: the models, and prices for bounds."""

from batches.actions.options import BatchOptions
from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.records import Usage
from batches.engine.text.wording import quoted
from batches.errors import NotPossible
from batches.inputs.prompt_files import check_model
from batches.limits.prices import price_list_of
from batches.models import Provider


class NoPrice(NotPossible):
    """A bound in dollars was set in the option `param`, but the model has no known price."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def check_escalation(provider: Provider, options: BatchOptions) -> None:
    """Raise PromptRejected for a stronger model that the provider does not list, if it lists any,
    or that is asked before."""
    below = [options.defaults.get("model")]
    for number, step in enumerate(options.escalate):
        param = f"escalate[{number}].model"
        if step.model in below:
            raise PromptRejected(
                f"Invalid value for '{param}': {quoted(step.model)} is asked before already. Name "
                "another model, or leave this step out.",
                param=param,
            )
        check_model(step.model, frozenset(provider.model_names), param=param)
        below.append(step.model)


def check_price(provider: Provider, options: BatchOptions) -> None:
    """Raise NoPrice if the cost of a batch with a bound in dollars cannot be computed."""
    param, name = _bound_in_dollars(options)
    if name and not rules_of(options.endpoint).counts_tokens:
        raise NoPrice(
            param,
            f"{name} cannot be used: replies of {options.endpoint} count no tokens, and prices "
            "are per token. Leave it out, and set the budget at the provider.",
        )
    if not name:
        return
    prices, model = price_list_of(provider), options.defaults.get("model")
    instead = ", or give max_tokens_total instead" if name == "max_cost" else ""
    for each in (model, *(step.model for step in options.escalate)):
        if isinstance(each, str) and prices.cost(each, Usage()) is None:
            # A command can give the price of the model of the batch.
            there = "there" if each == model else "in the admin"
            raise NoPrice(
                param,
                f"{name} cannot be used: the price of {each!r} at provider {provider.name!r} is "
                f"unknown. Set it {there}{instead}.",
            )


def _bound_in_dollars(options: BatchOptions) -> tuple[str, str]:
    """Return the option that needs a price, and the name of the bound; empty if none does."""
    if options.max_cost is not None:
        return "max_cost", "max_cost"
    pilot = options.pilot
    rules = {"stop_when": options.stop_when, "pilot": pilot.continue_when if pilot else None}
    for param, given in rules.items():
        if given is not None and given.max_cost_per_row is not None:
            return param, "max_cost_per_row"
    return "", ""
