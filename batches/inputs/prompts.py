"""Results of reading an input: NewPrompt for a prompt, LineError for an invalid line or row."""

from dataclasses import dataclass
from typing import Literal

from batches.engine.prepare import SET_TWICE
from batches.engine.schemas.strict import StrictProblem
from batches.engine.structured.schema_bill import TOO_MANY_SCHEMAS
from batches.engine.text.wording import quoted
from batches.inputs.request_lines import WRONG_ENDPOINT
from batches.inputs.tables import NO_COLUMN, Column

# The unit that prompts are numbered by: lines of a file, or rows of a table.
Unit = Literal["line", "row"]

NO_PROMPTS = "The input has no prompts: all of its lines are blank, or there are none."

# Errors that all lines may have; each is reported once.
OF_ALL_LINES = frozenset({WRONG_ENDPOINT, TOO_MANY_SCHEMAS, SET_TWICE, NO_COLUMN})
WHOLE_FILE = frozenset({"empty_file", "invalid_file"})


@dataclass(slots=True)
class NewPrompt:
    """A prompt of an input file; `body` is JSON text, `warnings` are what a provider may refuse.

    `line` is its line number in the file; in a table, its row number below the header.
    `schema_bytes` are the sizes of its large schemas that no earlier prompt has. A prompt made by a
    template has its row as JSON text, and the `columns` that no earlier row has.
    Not frozen, since making one would take longer.
    """

    line: int
    custom_id: str
    body: str
    warnings: tuple[StrictProblem, ...] = ()
    unit: Unit = "line"
    model: str = ""
    schema_bytes: tuple[int, ...] = ()
    row: str | None = None
    columns: tuple[Column, ...] = ()

    def fault(self, code: str, message: str, param: str | None = None) -> "LineError":
        """Return an error at the place of this prompt."""
        return LineError(self.line, code, message, param, self.unit)


@dataclass(frozen=True, slots=True)
class LineError:
    """An error in a line of an input file; `code` is a code of the OpenAI Batch API.

    An error that belongs to no line has the line 0.
    """

    line: int
    code: str
    message: str
    param: str | None = None
    unit: Unit = "line"

    def __str__(self) -> str:
        # An error of the whole file has no line.
        place = "" if self.code in WHOLE_FILE or not self.line else f"{self.unit} {self.line}: "
        return f"{place}{self.message}"


def too_many(prompt: NewPrompt, most: int) -> LineError:
    """Return the error of the first prompt beyond the limit."""
    message = f"A batch has at most {most} prompts (MAX_PROMPTS_PER_BATCH). Split the input."
    return prompt.fault("too_many_tasks", message)


def twin(prompt: NewPrompt) -> LineError:
    """Return the error of a prompt with a duplicate custom_id."""
    shown = quoted(prompt.custom_id)
    message = f"The 'custom_id' {shown} was used before in this batch. Give each prompt its own."
    return prompt.fault("duplicate_custom_id", message, "custom_id")
