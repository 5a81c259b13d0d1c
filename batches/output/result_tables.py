"""The results of a batch as a table: the columns of its input, if a template made its prompts, then
the columns of the results, each with a type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from pydantic_core import from_json

from batches.engine.errors import PromptRejected
from batches.engine.records import Usage
from batches.engine.replies.replies import shown_in
from batches.engine.structured.asked import answer_schema
from batches.formats import microseconds
from batches.limits.prices import price_list_of
from batches.models import Batch, Result
from batches.output.pages import result_rows_of

# The type of the values of a column, as JSON Schema names it. Other values are texts.
ValueType = Literal["string", "integer", "number", "boolean"]

ANSWER = "answer"
STATED: Mapping[str, ValueType] = {
    **dict.fromkeys(("status", "kind"), "string"),
    **dict.fromkeys(("input_tokens", "output_tokens"), "integer"),
    **dict.fromkeys(("cost", "latency_s"), "number"),
}
# The columns without a template.
PLAIN: Mapping[str, ValueType] = {
    "index": "integer",
    **dict.fromkeys(("custom_id", ANSWER, "status", "kind", "code", "message"), "string"),
    "status_code": "integer",
    "finish_reason": "string",
    **dict.fromkeys(("input_tokens", "output_tokens", "calls"), "integer"),
    **dict.fromkeys(("latency_s", "elapsed_s"), "number"),
}
_PLAIN_STORED = tuple(PLAIN)[3:]
_STORED = ("status", "kind", "input_tokens", "output_tokens", "latency_s")
ROW = "prompt__row"
PRICES_KEPT = 1024


class InputColumn(NamedTuple):
    """A column of the input: its name in the header and in a stored row, and its type in the file,
    if it has one."""

    name: str
    key: str
    type: str = ""


class TableLine(NamedTuple):
    """A row of the table: the cells of the input as they were, and the values of the result."""

    cells: list[Any]
    values: list[Any]


@dataclass(frozen=True, slots=True)
class ResultTable:
    """The columns of the table. `fields` are the properties of the answers, if they have any;
    `added` are the columns of the results with the types of their values."""

    columns: Sequence[InputColumn]
    fields: Sequence[str] | None
    added: Mapping[str, ValueType]

    def lines(self, batch: Batch, *, failed: bool | None = None) -> Iterator[TableLine]:
        """Yield a row for each result, in the order of the input, with one page in memory.

        With `failed`, only for the failed prompts, or only for the others.
        """
        cost_of = _costs(batch)
        keys = [column.key for column in self.columns]
        for _, _, _, *stored, body, parsed, row in result_rows_of(
            batch, (*_STORED, "body", "parsed", ROW)
        ):
            status, kind, read, written, latency = stored
            if failed is not None and failed != (status == Result.FAILED):
                continue
            cells = from_json(row) if row else {}
            succeeded = status == Result.SUCCEEDED
            answer = self._answer(batch, body, parsed, succeeded=succeeded)
            about = [status, kind, read, written, cost_of(read, written), microseconds(latency)]
            yield TableLine([cells.get(key) for key in keys], [*answer, *about])

    def _answer(
        self, batch: Batch, body: str | None, parsed: str | None, *, succeeded: bool
    ) -> list[Any]:
        if self.fields is None:
            if parsed is not None:
                return [parsed]
            return [shown_in(batch.endpoint, body, succeeded=succeeded)]
        value = from_json(parsed) if parsed is not None and succeeded else {}
        found = value if isinstance(value, Mapping) else {}
        return [found.get(name) for name in self.fields]


def result_table(batch: Batch) -> ResultTable | None:
    """Return the table of a batch; None for a batch without a template."""
    if batch.template_id is None:
        return None
    columns = [InputColumn(*column) for column in batch.columns or ()]
    fields = answer_fields(batch)
    answers: Mapping[str, ValueType] = {ANSWER: "string"} if fields is None else fields
    # A field of the answers may have the name of another column.
    types = [*answers.values(), *STATED.values()]
    taken = {name for column in columns for name in (column.name.strip(), column.key)}
    names = _unique([*answers, *STATED], taken)
    found = None if fields is None else list(fields)
    return ResultTable(columns, found, dict(zip(names, types, strict=True)))


def plain_lines(batch: Batch, *, failed: bool | None = None) -> Iterator[list[Any]]:
    """Yield the values of the columns of PLAIN for each result, with one page in memory.

    With `failed`, only for the failed prompts, or only for the others.
    """
    for _, index, custom_id, *stored, body, parsed in result_rows_of(
        batch, (*_PLAIN_STORED, "body", "parsed")
    ):
        if failed is not None and failed != (stored[0] == Result.FAILED):
            continue
        answer = parsed
        if parsed is None:
            succeeded = stored[0] == Result.SUCCEEDED
            answer = shown_in(batch.endpoint, body, succeeded=succeeded)
        yield [index, custom_id, answer, *stored]


def answer_fields(batch: Batch) -> dict[str, ValueType] | None:
    """Return the properties of the answers with their types; None if their schema names none."""
    try:
        asked = answer_schema(batch.defaults, batch.endpoint)
    except PromptRejected:
        return None
    schema = asked.schema if asked else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return None
    return {name: _value_type(schema) for name, schema in properties.items()}


def _value_type(schema: Any) -> ValueType:
    """Return the type of the values that fit a schema; other values than scalars become texts."""
    named = schema.get("type") if isinstance(schema, Mapping) else None
    types = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    found = [name for name in types if name != "null"]
    known: Sequence[ValueType] = get_args(ValueType)
    return next((name for name in known if found == [name]), "string")


def _unique(names: Sequence[str], taken: set[str]) -> list[str]:
    """Return the names, with a number where another column has the name already."""
    taken = set(taken)
    found: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        found.append(unique)
    return found


def _costs(batch: Batch) -> Any:
    """Return the function of the cost of a result in dollars; None without a price."""
    prices, model = price_list_of(batch.provider), batch.defaults.get("model")

    @lru_cache(maxsize=PRICES_KEPT)
    def cost_of(read: int, written: int) -> Decimal | None:
        return prices.cost(model, Usage(read, written)) if isinstance(model, str) else None

    return cost_of
