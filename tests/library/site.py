"""Django's own admin of the rows, with the action that asks a model about them."""

from django.contrib import admin

from batches.admin.rows import EnrichMixin
from tests.library.models import Article, Author


class ArticleAdmin(EnrichMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none
    list_filter = ("topic",)
    exclude = ("tags",)


site = admin.AdminSite("library")
site.register(Article, ArticleAdmin)
site.register(Author)
