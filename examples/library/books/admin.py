"""The books in the admin, with an action that asks a model about the chosen ones."""

from typing import TYPE_CHECKING

from django.contrib import admin

from batches.admin.rows import EnrichMixin
from books.models import Author, Book

if TYPE_CHECKING:
    BookAdminBase = admin.ModelAdmin[Book]
else:
    BookAdminBase = admin.ModelAdmin

admin.site.register(Author)


@admin.register(Book)
class BookAdmin(EnrichMixin, BookAdminBase):
    """Books; the answers of models are shown beside each."""

    list_display = ("title", "author", "topic")
