"""Answers into rows in the admin of the rows: `class ArticleAdmin(EnrichMixin, ModelAdmin)`."""

from batches.admin.rows.mixin import EnrichMixin

__all__ = ["EnrichMixin"]
