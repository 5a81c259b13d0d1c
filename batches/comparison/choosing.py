"""Choose the batches to compare, and the input that the best of them may be run with."""

from collections.abc import Sequence

from django.db.models.functions import MD5

from batches.engine.text.wording import named, quoted
from batches.errors import NotPossible
from batches.models import Batch, Prompt

FEWEST_BATCHES = 2
MOST_BATCHES = 4
# This many rows say whether one input contains another.
ROWS_LOOKED_AT = 100


def check_comparable(batches: Sequence[Batch]) -> None:
    """Raise NotPossible unless these are two to four different batches of one owner, with rows."""
    if not FEWEST_BATCHES <= len(batches) <= MOST_BATCHES:
        raise NotPossible(f"choose {FEWEST_BATCHES} to {MOST_BATCHES} batches")
    if len({batch.pk for batch in batches}) < len(batches):
        raise NotPossible("a batch cannot be compared with itself; name each batch once")
    if len({batch.owner_id for batch in batches}) > 1:
        raise NotPossible(
            "batches of different owners are not compared; choose batches of one owner"
        )
    for batch in batches:
        # The total is set only when all prompts are stored.
        if not batch.total:
            raise NotPossible(f"{batch.public_id} has no rows: its input was not read to its end")


def truths_of(texts: Sequence[str], batches: Sequence[Batch]) -> dict[str, str]:
    """Return the columns with the truth by field, from texts such as `field=column`.

    Raise NotPossible if a text has another form or the table of no batch has the column.
    """
    truths: dict[str, str] = {}
    for text in texts:
        field, equals, column = (part.strip() for part in text.partition("="))
        if not (field and equals and column):
            raise NotPossible(f"truth {quoted(text)} is not FIELD=COLUMN, such as sentiment=label")
        known = columns_of(batches)
        if not known:
            raise NotPossible("the batches have no columns: none was made of a table by a template")
        if column not in known:
            raise NotPossible(f"there is no column {quoted(column)}; there are: {named(known)}")
        truths[field] = column
    return truths


def columns_of(batches: Sequence[Batch]) -> list[str]:
    """Return the columns of the tables that the rows are from, as templates name them."""
    return list(dict.fromkeys(key for batch in batches for _, key, *_ in batch.columns or ()))


def whole_input(batches: Sequence[Batch], chosen: Batch) -> Batch:
    """Return the batch with the most rows that contain the rows of the chosen batch.

    It is the chosen batch itself if no other has more rows, or if their rows differ.
    """
    larger = [batch for batch in batches if batch.total > chosen.total]
    for batch in sorted(larger, key=lambda batch: -batch.total):
        if contains_input(batch, chosen):
            return batch
    return chosen


def contains_input(whole: Batch, part: Batch) -> bool:
    """Return True if the first rows of a batch are in another with equal contents."""
    if whole.endpoint != part.endpoint or bool(whole.template_id) != bool(part.template_id):
        return False
    rows = Prompt.objects.filter(batch=part).order_by("index")
    # Contents may be long, so the database makes them short.
    content = MD5("row" if whole.template_id else "body")
    found = dict(rows.values_list("custom_id", content)[:ROWS_LOOKED_AT])
    there = Prompt.objects.filter(batch=whole, custom_id__in=list(found))
    return dict(there.values_list("custom_id", content)) == found
