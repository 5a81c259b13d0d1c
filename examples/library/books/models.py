"""Books, and what a model writes about them."""

from django.db import models


class Author(models.Model):
    """A person who wrote books."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """A book; `summary` and `topic` are written by a model."""

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE)
    body = models.TextField()
    summary = models.TextField(blank=True)
    topic = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return self.title
