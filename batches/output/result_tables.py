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
from batches.limits.asked_models import asked_in, cost_of_asked
from batches.limits.prices import price_list_of
from batches.models import Batch, Result
from batches.output.origins import AnswerOrigin, origins_of
from batches.output.pages import result_pages_of

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
# The last column where answers may have been used again: the request that each was made for.
REUSED_FROM = "reused_from"
_SOURCE = "source"
_PLAIN_STORED = tuple(PLAIN)[3:]
_STORED = ("status", "kind", "input_tokens", "output_tokens", "escalation", "latency_s")
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
        for _, (*stored, body, parsed, row), origin in _results(
            batch, (*_STORED, "body", "parsed", ROW)
        ):
            status, kind, read, written, asked, latency = stored
            if failed is not None and failed != (status == Result.FAILED):
                continue
            cells = from_json(row) if row else {}
            succeeded = status == Result.SUCCEEDED
            answer = self._answer(batch, body, parsed, succeeded=succeeded)
            cost = cost_of(read, written, asked)
            about = [status, kind, read, written, cost, microseconds(latency)]
            yield TableLine([cells.get(key) for key in keys], [*answer, *about, *origin])

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
    stated = {**STATED, **_columns_of_origins(batch)}
    types = [*answers.values(), *stated.values()]
    taken = {name for column in columns for name in (column.name.strip(), column.key)}
    names = _unique([*answers, *stated], taken)
    found = None if fields is None else list(fields)
    return ResultTable(columns, found, dict(zip(names, types, strict=True)))


def plain_columns(batch: Batch) -> Mapping[str, ValueType]:
    """Return the columns of the results of a batch without a template, with their types."""
    return {**PLAIN, **_columns_of_origins(batch)}


def plain_lines(batch: Batch, *, failed: bool | None = None) -> Iterator[list[Any]]:
    """Yield the values of `plain_columns` for each result, with one page in memory.

    With `failed`, only for the failed prompts, or only for the others.
    """
    for place, (*stored, body, parsed), origin in _results(
        batch, (*_PLAIN_STORED, "body", "parsed")
    ):
        if failed is not None and failed != (stored[0] == Result.FAILED):
            continue
        answer = parsed
        if parsed is None:
            succeeded = stored[0] == Result.SUCCEEDED
            answer = shown_in(batch.endpoint, body, succeeded=succeeded)
        yield [*place, answer, *stored, *origin]


def _columns_of_origins(batch: Batch) -> Mapping[str, ValueType]:
    return {} if batch.reuse == "off" else {REUSED_FROM: "string"}


def _results(
    batch: Batch, names: tuple[str, ...]
) -> Iterator[tuple[Sequence[Any], Sequence[Any], Sequence[str | None]]]:
    """Yield for each result its index and custom_id, the values of these names, and the value of
    REUSED_FROM, if the batch has that column."""
    if batch.reuse == "off":
        for page in result_pages_of(batch, names):
            yield from ((row[1:3], row[3:], ()) for row in page)
        return
    for page in result_pages_of(batch, (*names, _SOURCE)):
        origins = origins_of(row[-1] for row in page)
        yield from ((row[1:3], row[3:-1], [_origin(row[-1], origins)]) for row in page)


def _origin(source: int | None, origins: Mapping[int | None, AnswerOrigin]) -> str | None:
    """Return the batch and the custom_id of a request, "deleted" if it is gone; None without."""
    if source is None:
        return None
    return "/".join(origins[source]) if source in origins else "deleted"


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
    """Return the function of the cost of a result in dollars, by its tokens and the models that
    were asked if there were several; None without a price."""
    prices, model = price_list_of(batch.provider), batch.defaults.get("model")

    @lru_cache(maxsize=PRICES_KEPT)
    def cost_of(read: int, written: int, asked: str | None) -> Decimal | None:
        if asked is not None:
            return cost_of_asked(prices, asked_in(asked))
        return prices.cost(model, Usage(read, written)) if isinstance(model, str) else None

    return cost_of
