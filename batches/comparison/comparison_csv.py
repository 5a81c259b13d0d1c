"""Write the rows of a comparison as CSV, in the order of the first batch."""

from collections.abc import Iterator, Mapping, Sequence

from batches.comparison.answer_values import ANSWER, in_words
from batches.comparison.paired_rows import paired_rows
from batches.comparison.row_answers import Missing, RowAnswer
from batches.models import Batch
from batches.output.csv import BOM, csv_line
from batches.output.result_tables import answer_fields


def comparison_lines(
    batches: Sequence[Batch], *, truths: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """Yield a header and a line for each row of the first batch, with one page in memory.

    Columns end in the number of their batch. `agree` is yes or no, or empty for a row that is not
    in each batch.
    """
    known = truths or {}
    fields = [list(answer_fields(batch) or (ANSWER,)) for batch in batches]
    header = ["custom_id", "agree", *(f"truth_{name}" for name in known)]
    for number, names in enumerate(fields, 1):
        header += [f"{name}_{number}" for name in ("status", *names)]
    yield BOM + csv_line(header)
    for row in paired_rows(batches, with_cells=bool(known)):
        agrees = ("yes" if row.agrees() else "no") if row.compared else ""
        cells = [row.custom_id, agrees, *(row.cells.get(column) for column in known.values())]
        for names, answer in zip(fields, row.answers, strict=True):
            cells += _cells(answer, names)
        yield csv_line(cells)


def _cells(answer: RowAnswer | Missing, names: Sequence[str]) -> list[object]:
    if isinstance(answer, Missing):
        return [str(answer), *(None for _ in names)]
    if not answer.succeeded:
        return [f"failed: {answer.kind}", *(None for _ in names)]
    if names == [ANSWER]:
        return ["succeeded", in_words(answer.fields)]
    return ["succeeded", *(answer.fields.get(name) for name in names)]
