"""Answers into rows: `enrich` a queryset of the host's own model, `preview` what would be sent."""

from batches.rows.enriching import RowsRefused, enrich
from batches.rows.previewing import PreviewedPrompt, RowsPreview, preview
from batches.writeback.targets import RowOutcome

__all__ = ["PreviewedPrompt", "RowOutcome", "RowsPreview", "RowsRefused", "enrich", "preview"]
