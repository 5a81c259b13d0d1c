"""Count the models, schemas and warnings of an input while its prompts are stored."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Sum

from batches.conf import conf
from batches.engine.plain_text import storable_text
from batches.engine.schemas.strict import StrictProblem
from batches.engine.structured.schema_bill import FREE_BYTES, TOO_MANY_SCHEMAS
from batches.inputs.prompts import LineError, NewPrompt, Unit
from batches.inputs.tables import Column
from batches.lifecycle import TERMINAL
from batches.models import Batch
from batches.models.bounds import MAX_MODEL_CHARS
from batches.users import all_users

MAX_FAULT_CHARS = 500
MAX_WARNINGS = 20
MAX_COUNTED_MODELS = 1000
# With fewer bytes of schemas, a batch gets no warning about their cost.
LEAST_TOLD_BYTES = 1024 * 1024
# Measured CPU time for each byte of a schema, without and with its strict form.
_SECONDS, _STRICT_SECONDS = 1.5e-6, 9e-6


class InputRefused(Exception):
    """An input was refused, with the errors of its lines."""

    def __init__(self, errors: Sequence[LineError]) -> None:
        super().__init__(f"{len(errors)} lines are invalid")
        self.errors = errors


class Tally:
    """Counts over all prompts of a batch."""

    def __init__(self, batch: Batch) -> None:
        self.prompts = 0
        self.schema_bytes = batch.schema_bytes
        # The first prompt with the latest large schema.
        self.schema_line = 0
        self.schema_unit: Unit = "line"
        self._batch = batch
        self._schemas = 0
        self._models: set[str] = set()
        self._columns: list[Column] = []
        self._warned: dict[StrictProblem, int] = {}

    def count(self, prompt: NewPrompt) -> None:
        """Count one more prompt."""
        self.prompts += 1
        if prompt.model and len(self._models) < MAX_COUNTED_MODELS:
            self._models.add(prompt.model)
        if prompt.columns:
            self._columns += prompt.columns
        if prompt.schema_bytes:
            self._schemas += len(prompt.schema_bytes)
            self.schema_bytes += sum(prompt.schema_bytes)
            self.schema_line, self.schema_unit = prompt.line, prompt.unit
        for problem in prompt.warnings:
            if len(self._warned) < MAX_WARNINGS:
                self._warned.setdefault(problem, prompt.line)

    def values(self) -> dict[str, Any]:
        """Return the values to store, by column name."""
        return {
            "total": self.prompts,
            "model": shown_model(*self._models) if self._models else self._batch.model,
            "model_count": len(self._models),
            "schema_bytes": self.schema_bytes,
            "warnings": self._warnings(),
            "columns": self._columns or None,
        }

    def _warnings(self) -> list[dict[str, Any]]:
        found = [warning_of(problem, line) for problem, line in self._warned.items()]
        cost = [self._cost()] if self.schema_bytes >= LEAST_TOLD_BYTES else []
        return [*cost, *self._batch.warnings, *found][:MAX_WARNINGS]

    def _cost(self) -> dict[str, Any]:
        seconds = _STRICT_SECONDS if self._batch.strict_schemas else _SECONDS
        message = (
            f"The prompts have {self._schemas} different JSON Schemas of more than {FREE_BYTES} "
            f"bytes. Compiling all {self.schema_bytes} bytes of the batch takes "
            f"a CPU about {max(round(seconds * self.schema_bytes), 1)} s. Equal schemas count once."
        )
        return {"code": "large_schemas", "message": message, "param": None, "line": None}


def shown_model(*models: object) -> str:
    """Return the model of a batch if it has only one and its name can be shown, else ""."""
    name = models[0] if len(models) == 1 else ""
    if isinstance(name, str) and len(name) <= MAX_MODEL_CHARS and name.isprintable():
        return name
    return ""


def check_schemas_of_owner(batch: Batch, tally: Tally) -> None:
    """Raise InputRefused if the schemas of a user's unfinished batches are too large together.

    Call it in the transaction that makes the batch runnable: a lock on the user serialises batches
    that become ready at the same time.
    """
    if batch.owner_id is None or not tally.schema_bytes:
        return
    all_users().select_for_update(no_key=True).filter(pk=batch.owner_id).first()
    others = Batch.objects.filter(owner=batch.owner_id).exclude(pk=batch.pk)
    open_ = others.exclude(status__in=TERMINAL).aggregate(sum=Sum("schema_bytes"))
    before, most = open_["sum"] or 0, conf().MAX_SCHEMA_BYTES_PER_USER
    if before + tally.schema_bytes > most:
        message = (
            f"The schemas of this batch have {tally.schema_bytes} bytes, and the schemas of your "
            f"unfinished batches {before}; the limit is {most} (MAX_SCHEMA_BYTES_PER_USER). "
            "Wait until some of these have ended, or let prompts share schemas."
        )
        fault = LineError(tally.schema_line, TOO_MANY_SCHEMAS, message, unit=tally.schema_unit)
        raise InputRefused([fault])


def warning_of(problem: StrictProblem, line: int | None = None) -> dict[str, Any]:
    """Return a warning for the Batch object, with the first line that caused it."""
    return {
        "code": problem.rule,
        "message": storable(problem.message),
        "param": storable(problem.place),
        "line": line,
    }


def storable(text: str) -> str:
    """Return a text that quotes an input, shortened and made storable."""
    return storable_text(text[:MAX_FAULT_CHARS])
