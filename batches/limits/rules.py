"""Rules about the outcomes of a batch: what share may fail, and what a prompt may cost.

The same rules decide whether a batch goes on after its pilot and whether a running batch pauses.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from batches.engine.text.wording import did_you_mean, named, quoted
from batches.formats import dollars
from batches.inputs.explanations import explained

# Of fewer outcomes, a share says too little to stop a run.
LEAST_OUTCOMES = 20
EXAMPLE = "max_failed=0.05,max_cost_per_row=0.002"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The outcomes of a batch so far: their number, how many failed, and what they cost in dollars,
    None if a price is unknown."""

    done: int
    failed: int
    cost: Decimal | None

    def __add__(self, other: "RunFigures") -> "RunFigures":
        cost = None
        if self.cost is not None and other.cost is not None:
            cost = self.cost + other.cost
        return RunFigures(self.done + other.done, self.failed + other.failed, cost)

    def __sub__(self, other: "RunFigures") -> "RunFigures":
        cost = None if other.cost is None else -other.cost
        return self + RunFigures(-other.done, -other.failed, cost)


class NamedFields(BaseModel):
    """A JSON object whose unknown names are refused with the known ones."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, value: Any) -> Any:
        known = list(cls.model_fields)
        unknown = [str(name) for name in value if name not in known] if _is_object(value) else []
        if unknown:
            hint = did_you_mean(unknown[0], known)
            raise ValueError(f"there is no {quoted(unknown[0])}.{hint} Known are {named(known)}")
        return value


class Rules(NamedFields):
    """Bounds for the outcomes of a batch; None is no bound."""

    max_failed: Annotated[
        float | None,
        Field(ge=0, le=1, description="The share of prompts that may fail, from 0 to 1."),
    ] = None
    max_cost_per_row: Annotated[
        float | None,
        Field(ge=0, le=1e7, description="Dollars that a prompt may cost on average."),
    ] = None

    def broken_by(self, figures: RunFigures, *, least: int = LEAST_OUTCOMES) -> str:
        """Return which rule the outcomes break, with the figures; "" if all hold.

        Fewer outcomes than `least` break none.
        """
        if figures.done < max(least, 1):
            return ""
        return self._failed_too_often(figures) or self._cost_too_much(figures)

    def _failed_too_often(self, figures: RunFigures) -> str:
        if self.max_failed is None or figures.failed <= self.max_failed * figures.done:
            return ""
        share = f"{figures.failed / figures.done:.2%}"
        count = f"{figures.failed:,} of {figures.done:,} prompts failed ({share})"
        return f"{count}, more than max_failed of {self.max_failed:g}"

    def _cost_too_much(self, figures: RunFigures) -> str:
        if self.max_cost_per_row is None:
            return ""
        if figures.cost is None:
            return (
                "max_cost_per_row cannot be checked: no price is known for a model of this batch; "
                "set its price on the provider"
            )
        each = figures.cost / figures.done
        if each <= Decimal(str(self.max_cost_per_row)):
            return ""
        count = f"{figures.done:,} prompts cost {dollars(figures.cost)}, ${each:.6f} each"
        return f"{count}, more than max_cost_per_row of {self.max_cost_per_row:g}"

    def stored(self) -> dict[str, float]:
        """Return the rules as they are stored, without bounds that are None."""
        return self.model_dump(exclude_none=True)


class RuleWatch:
    """Judge the outcomes of all runners after each flush of one of them: the stored counts as of
    the last look, and the outcomes that this runner has stored since then."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._total = self._mine_then = RunFigures(0, 0, Decimal(0))

    def look(self, rules: Rules | None, total: RunFigures, *, mine: RunFigures) -> None:
        """Set the rules, the stored counts, and the part that is of this runner."""
        self._rules, self._total, self._mine_then = rules, total, mine

    def broken_by(self, mine: RunFigures) -> str:
        """Return which rule is broken; "" if all hold. `mine` is what this runner has stored."""
        return self._rules.broken_by(self._total + (mine - self._mine_then)) if self._rules else ""


def rules_of(stored: Mapping[str, Any] | None) -> Rules | None:
    """Return stored rules; None if there are none."""
    return None if stored is None else Rules.model_validate(stored)


def rules_in(text: str) -> Rules:
    """Return the rules in a text such as "max_failed=0.05", or in JSON. Raise ValueError."""
    try:
        return Rules.model_validate(_values_in(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"])) or "rules"
        raise ValueError(explained(first, param)[1]) from error


def _values_in(text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{quoted(text)} is not JSON: {error}") from error
    values: dict[str, float] = {}
    for part in text.split(","):
        name, separator, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            separator = ""
        if not separator or name in values:
            raise ValueError(f"{quoted(part)} is not one rule, such as {EXAMPLE}")
        values[name] = value
    return values


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)
