"""Articles with authors and tags; notes with keys of another kind; a model of two tables."""

import uuid

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q


class Author(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Article(models.Model):
    TOPICS = ("news", "sport")

    title = models.CharField(max_length=100, unique=True)
    body = models.TextField()
    author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="articles")
    tags = models.ManyToManyField(Tag)
    views = models.IntegerField(default=0)
    summary = models.CharField(max_length=2000, blank=True)
    topic = models.CharField(max_length=10, blank=True, choices=[(t, t) for t in TOPICS])
    facts = models.JSONField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(summary="forbidden"), name="article_allowed"),
        )

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.summary == "unclean":
            raise ValidationError("A summary is not unclean.")

    @property
    def secret(self) -> str:
        return "a property"


class Story(Article):
    """An article in two tables."""

    chapters = models.IntegerField(default=1)


class Note(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField()
    summary = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.text
