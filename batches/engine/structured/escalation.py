"""Ask a stronger model: the same request, with the model of the next step."""

import json
from collections.abc import Sequence
from dataclasses import replace

from batches.engine.errors import FailureKind
from batches.engine.records import EscalationStep, PreparedRequest


def escalated(
    request: PreparedRequest, kind: FailureKind, steps: Sequence[EscalationStep]
) -> PreparedRequest | None:
    """Return the request to the next model that is asked after a failure of this kind; None if
    there is none.

    The request is as it was first, without answers that were sent back.
    """
    step = next((step for step in _above(request.model, steps) if kind.value in step.when), None)
    if step is None:
        return None
    body = json.loads(request.first_content or request.content)
    text = json.dumps({**body, "model": step.model}, ensure_ascii=False, separators=(",", ":"))
    return replace(
        request,
        model=step.model,
        content=text.encode("utf-8", "replace"),
        first_content=None,
        rejected=(),
    )


def _above(model: str, steps: Sequence[EscalationStep]) -> Sequence[EscalationStep]:
    """Return the steps above a model; all of them if it is not the model of a step."""
    models = [step.model for step in steps]
    return steps[models.index(model) + 1 :] if model in models else steps
