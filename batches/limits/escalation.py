"""The models that are asked when the answers of cheaper ones fail: the option of a batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from batches.engine.records import ANSWER_KINDS, USUAL_KINDS, AnswerKind, EscalationStep
from batches.engine.text.sendable import text_fault
from batches.engine.text.wording import did_you_mean, dotted
from batches.inputs.explanations import explained
from batches.limits.rules import NamedFields
from batches.models.bounds import MAX_MODEL_CHARS

MAX_STEPS = 3


def _sendable(model: object) -> object:
    if isinstance(model, str) and (fault := text_fault(model, allow_nul=False)):
        raise ValueError(f"the name {fault}")
    return model


class Escalation(NamedFields):
    """A model that is asked if the answer of a model below it fails in one of the kinds of
    `when`."""

    model: Annotated[
        str,
        Field(min_length=1, max_length=MAX_MODEL_CHARS, examples=["simulated-large"]),
        BeforeValidator(_sendable),
    ]
    when: Annotated[
        list[AnswerKind],
        Field(
            min_length=1,
            description=f"Kinds of failures of an answer; by default {', '.join(USUAL_KINDS)}.",
        ),
    ] = Field(default_factory=lambda: list(USUAL_KINDS))

    def stored(self) -> dict[str, Any]:
        """Return the step as it is stored, with the kinds in alphabetical order."""
        return {"model": self.model, "when": sorted(set(self.when))}

    def __str__(self) -> str:
        """Return the text from which `escalation_in` reads this step."""
        if set(self.when) == set(USUAL_KINDS) and not _split(self.model)[1]:
            return self.model
        return f"{self.model}:{','.join(self.when)}"


Escalations = Annotated[
    list[Escalation],
    Field(
        max_length=MAX_STEPS,
        title="Stronger models",
        description="Models that are asked, one after the other, if the answer of the model before "
        "fails in one of the kinds of `when`.",
    ),
]


def escalation_in(text: str) -> Escalation:
    """Return the step in a text such as "some-model" or "some-model:refusal,truncated".

    Raise ValueError for an unknown kind, or without a model.
    """
    model, kinds = _split(text.strip())
    given: dict[str, Any] = {"model": model, **({"when": kinds} if kinds else {})}
    try:
        return Escalation.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(explained(first, dotted(first["loc"]))[1]) from error


def escalations_in(text: str) -> list[Escalation]:
    """Return the steps in a text with one in each line. Raise ValueError with the number of the
    line."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.strip():
                steps.append(escalation_in(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return steps


def _split(text: str) -> tuple[str, list[str]]:
    """Return a model and kinds; a name of a model may have a colon too, such as some-model:70b."""
    model, colon, end = text.rpartition(":")
    kinds = [kind.strip() for kind in end.split(",")]
    if colon and (len(kinds) > 1 or _seems_a_kind(kinds[0])):
        return model.strip(), kinds
    return text, []


def _seems_a_kind(word: str) -> bool:
    return not word or word in ANSWER_KINDS or bool(did_you_mean(word, ANSWER_KINDS))


def stored_escalations(steps: Iterable[Escalation]) -> list[dict[str, Any]] | None:
    """Return the steps as they are stored; None if there are none."""
    return [step.stored() for step in steps] or None


def escalations_of(stored: Sequence[Mapping[str, Any]] | None) -> list[Escalation]:
    """Return stored steps."""
    return [Escalation.model_validate(step) for step in stored or ()]


def steps_of(stored: Sequence[Mapping[str, Any]] | None) -> tuple[EscalationStep, ...]:
    """Return stored steps as the engine takes them."""
    return tuple(EscalationStep(step["model"], frozenset(step["when"])) for step in stored or ())


def models_of(stored: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the models of stored steps."""
    return [step["model"] for step in stored or ()]
