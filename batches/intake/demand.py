"""Estimate the tokens and the cost of prompts before they are sent."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from pydantic_core import from_json

from batches.engine.endpoints import rules_of
from batches.engine.prepare import own_fields
from batches.engine.records import Usage
from batches.engine.text.volume import CHARS_PER_TOKEN, chars_by_field
from batches.inputs.prompts import NewPrompt
from batches.limits.prices import PriceList
from batches.models import Batch, Provider

T = TypeVar("T")

# The assumed length of an answer without a limit, and the largest limit that is used.
USUAL_ANSWER_TOKENS = 500
LONGEST_ANSWER_TOKENS = 10**9
# The batches whose answers show how long the next ones are.
LATEST_BATCHES = 20

_LONGEST = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated tokens and cost of prompts, in dollars; `cost` is None without a price.

    `unlimited` counts the answers that nothing limits, `assumed` the ones whose model has not
    answered before.
    """

    prompts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)
    unlimited: int = 0
    assumed: int = 0

    def __str__(self) -> str:
        bound = "about" if self.unlimited else "at most"
        text = f"about {self.input_tokens:,} input and {bound} {self.output_tokens:,} output tokens"
        if self.cost is not None:
            text += f", {bound} ${self.cost:.2f}"
        if self.assumed:
            length = f"{USUAL_ANSWER_TOKENS} tokens for each of {self.assumed:,} answers"
            return f"{text}, if {length} are right: nothing limits them (max_tokens would)"
        return f"{text}, by earlier answers of the model" if self.unlimited else text

    def __add__(self, other: "Estimate") -> "Estimate":
        """Return the estimate of the same prompts for the calls of both."""
        cost = None
        if self.cost is not None and other.cost is not None:
            cost = self.cost + other.cost
        return Estimate(
            prompts=self.prompts,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=cost,
            unlimited=self.unlimited + other.unlimited,
            assumed=self.assumed + other.assumed,
        )


class Demand:
    """Count prompts and their characters, by model and answer limit."""

    def __init__(self, defaults: Mapping[str, Any], endpoint: str) -> None:
        self._defaults = defaults
        self._endpoint = endpoint
        self._shared = chars_by_field(defaults, endpoint)
        self._volumes: dict[tuple[str, int | None], tuple[int, int]] = {}

    def count(self, prompt: NewPrompt) -> None:
        own = own_fields(self._defaults, from_json(prompt.body))
        kind = _kind_of(own, self._defaults)
        prompts, chars = self._volumes.get(kind, (0, 0))
        chars += sum({**self._shared, **chars_by_field(own, self._endpoint)}.values())
        self._volumes[kind] = (prompts + 1, chars)

    def counting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the prompts among them."""
        for item in items:
            if isinstance(item, NewPrompt):
                self.count(item)
            yield item

    @property
    def models(self) -> list[str]:
        """Return the models of the prompts."""
        return list(dict.fromkeys(model for model, _ in self._volumes if model))

    def estimate(
        self,
        prices: PriceList,
        earlier: Mapping[str, int] | None = None,
        *,
        model: str | None = None,
    ) -> Estimate:
        """Return the estimated cost of the prompts at a provider.

        `earlier` has the average length of earlier answers by model. With `model`, all prompts are
        asked of this model instead of their own.
        """
        total = Estimate()
        usual = USUAL_ANSWER_TOKENS if rules_of(self._endpoint).answers_in_text else 0
        for (own, longest), (prompts, chars) in self._volumes.items():
            asked = own if model is None else model
            known = (earlier or {}).get(asked)
            answer = min(longest or known or usual, LONGEST_ANSWER_TOKENS)
            unlimited = prompts if usual and not longest else 0
            usage = Usage(chars // CHARS_PER_TOKEN, prompts * answer)
            cost = prices.cost(asked, usage)
            total = replace(
                total,
                prompts=total.prompts + prompts,
                unlimited=total.unlimited + unlimited,
                assumed=total.assumed + (0 if known else unlimited),
                input_tokens=total.input_tokens + usage.input_tokens,
                output_tokens=total.output_tokens + usage.output_tokens,
                cost=None if cost is None or total.cost is None else total.cost + cost,
            )
        return total

    def estimate_escalated(
        self,
        prices: PriceList,
        models: Sequence[str],
        earlier: Mapping[str, int] | None = None,
    ) -> Estimate:
        """Return the estimated cost if every prompt is asked of all these models too."""
        total = self.estimate(prices, earlier)
        for model in models:
            total += self.estimate(prices, earlier, model=model)
        return total


def earlier_answers(provider: Provider, models: Sequence[str]) -> dict[str, int]:
    """Return the average tokens of an answer by model, of the latest batches that have some."""
    # The tokens of a batch with stronger models are not of its model alone.
    alone = Batch.objects.filter(escalate__isnull=True)
    latest = alone.filter(provider=provider, model__in=models, succeeded__gt=0)
    sums: dict[str, tuple[int, int]] = {}
    for model, tokens, answers in latest.order_by("-pk").values_list(
        "model", "output_tokens", "succeeded"
    )[:LATEST_BATCHES]:
        before = sums.get(model, (0, 0))
        sums[model] = before[0] + tokens, before[1] + answers
    return {model: max(tokens // answers, 1) for model, (tokens, answers) in sums.items()}


def _kind_of(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the model and the answer limit of a body over the defaults."""
    for name in _LONGEST:
        longest = own[name] if name in own else defaults.get(name)
        if isinstance(longest, int):
            break
    else:
        longest = None
    model = own["model"] if "model" in own else defaults.get("model", "")
    return str(model), longest
