"""Find what writes the answers of a batch into rows. Most batches have nothing of the kind."""

from typing import TYPE_CHECKING

from batches.models import Batch, Enrichment

if TYPE_CHECKING:
    from batches.writeback.writing import AnswerWriter


def writer_of(batch: Batch) -> "AnswerWriter | None":
    """Return what writes the answers of a batch into rows; None for a batch that is not about rows.

    Raise NotPossible if this process cannot write them.
    """
    enrichment: Enrichment | None = getattr(batch, "enrichment", None)
    if enrichment is None:
        return None
    # It loads Jinja, which other batches do not need.
    from batches.writeback.writing import AnswerWriter  # noqa: PLC0415 - takes long

    return AnswerWriter(batch, enrichment)
