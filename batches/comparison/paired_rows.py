"""Read the rows of several batches side by side, matched by custom_id, with a page in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import BooleanField, Case, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models import Value as Constant
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThanOrEqual
from pydantic_core import from_json

from batches.comparison.answer_values import Value, fields_of
from batches.comparison.row_answers import Missing, PairedRow, RowAnswer
from batches.engine.replies.replies import shown_in
from batches.models import Batch, Prompt, Result
from batches.models.bounds import IDS_IN_A_QUERY
from batches.output.pages import TextBytes

# A page of four batches stays below 40 MB.
PAGE_ROWS = IDS_IN_A_QUERY
# A longer answer, or row of a table, is read on its own when it is needed.
SHORT_BYTES = 16 * 1024
# Longer answers and rows are not compared.
MOST_BYTES = 4 * 1024 * 1024


class _Stored(NamedTuple):
    """A prompt with the columns of its result, which are null without one.

    `text` is the answer, or the reply that has it; `row` is the row of the table. Both are null if
    they are long; their sizes are in bytes.
    """

    pk: int
    place: int
    custom_id: str
    status: str | None
    kind: str | None
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float | None
    is_parsed: bool
    text_bytes: int
    text: str | None
    escalation: str | None
    row_bytes: int = 0
    row: str | None = None


def paired_rows(
    batches: Sequence[Batch], *, after: int = -1, with_cells: bool = False
) -> Iterator[PairedRow]:
    """Yield the rows of the first batch beyond an index, in the order of its input.

    Each page takes a query for each batch, and one for each answer above SHORT_BYTES. The cells are
    of the first batch that was made of a table, and are read on request.
    """
    tables = [place for place, batch in enumerate(batches) if batch.columns]
    table = tables[0] if tables and with_cells else None
    first, *others = (_stored(batch, with_row=n == table) for n, batch in enumerate(batches))
    while page := list(first.filter(index__gt=after).order_by("index")[:PAGE_ROWS]):
        rows = [_Stored(*columns) for columns in page]
        after = rows[-1].place
        ids = [row.custom_id for row in rows]
        found = [_by_custom_id(prompts, ids) for prompts in others]
        for row in rows:
            there = [row, *(some.get(row.custom_id) for some in found)]
            answers = [_answer(one, batch) for one, batch in zip(there, batches, strict=True)]
            cells = _cells(there[table]) if table is not None else {}
            yield PairedRow(row.place, row.custom_id, tuple(answers), cells)
        if len(rows) < PAGE_ROWS:
            return


def _by_custom_id(prompts: QuerySet[Prompt, Any], ids: list[str]) -> dict[str, _Stored]:
    rows = (_Stored(*columns) for columns in prompts.filter(custom_id__in=ids))
    return {row.custom_id: row for row in rows}


def _stored(batch: Batch, *, with_row: bool) -> QuerySet[Prompt, Any]:
    """Select the columns of _Stored of all prompts of a batch."""
    said = Coalesce("result__parsed", "result__body")
    yes, no = (Constant(value, output_field=BooleanField()) for value in (True, False))
    prompts = Prompt.objects.filter(batch=batch).annotate(
        read=_of_answer(batch, "input_tokens"),
        written=_of_answer(batch, "output_tokens"),
        asked=_of_answer(batch, "escalation"),
        is_parsed=Case(When(result__parsed__isnull=False, then=yes), default=no),
        text_bytes=Coalesce(TextBytes(said), 0),
        text=Case(When(Q(_is_short(said), result__status=Result.SUCCEEDED), then=said)),
    )
    columns = (
        *("pk", "index", "custom_id", "result__status", "result__kind", "read", "written"),
        *("result__latency_s", "is_parsed", "text_bytes", "text", "asked"),
    )
    if not with_row:
        return prompts.values_list(*columns)
    row = F("row")
    prompts = prompts.annotate(
        row_bytes=Coalesce(TextBytes(row), 0), short_row=Case(When(_is_short(row), then=row))
    )
    return prompts.values_list(*columns, "row_bytes", "short_row")


def _is_short(text: Any) -> LessThanOrEqual:
    return LessThanOrEqual(TextBytes(text), SHORT_BYTES)


def _of_answer(batch: Batch, name: str) -> Any:
    """Return a column about what the answer to a prompt took, also if it was used again."""
    own = F(f"result__{name}")
    if not batch.reused:
        return own
    origin = Result.objects.filter(pk=OuterRef("result__source"))
    return Coalesce(Subquery(origin.values(name)[:1]), own)


def _answer(stored: _Stored | None, batch: Batch) -> RowAnswer | Missing:
    if stored is None:
        return Missing.ABSENT
    if stored.status is None or stored.kind in Result.NEVER_RAN:
        return Missing.OPEN
    succeeded = stored.status == Result.SUCCEEDED
    if succeeded and stored.text_bytes > MOST_BYTES:
        return Missing.LONG
    return RowAnswer(
        index=stored.place,
        kind=stored.kind or "",
        fits=succeeded and stored.is_parsed,
        fields=_fields(stored, batch) if succeeded else {},
        input_tokens=stored.input_tokens or 0,
        output_tokens=stored.output_tokens or 0,
        latency_s=stored.latency_s,
        escalation=stored.escalation,
    )


def _fields(stored: _Stored, batch: Batch) -> dict[str, Value]:
    text = stored.text
    if text is None and stored.text_bytes:
        said = Coalesce("parsed", "body")
        # It may be deleted meanwhile, with its batch.
        text = Result.objects.filter(pk=stored.pk).values_list(said, flat=True).first()
    if stored.is_parsed and text is not None:
        return fields_of(text, "")
    return fields_of(None, shown_in(batch.endpoint, text, succeeded=True))


def _cells(stored: _Stored | None) -> Mapping[str, Any]:
    """Return the cells of a row of a table."""
    if stored is None or not 0 < stored.row_bytes <= MOST_BYTES:
        return {}
    text = stored.row
    if text is None:
        text = Prompt.objects.filter(pk=stored.pk).values_list("row", flat=True).first()
    cells = from_json(text) if text else {}
    return cells if isinstance(cells, dict) else {}
