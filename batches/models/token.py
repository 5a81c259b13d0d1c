"""Tokens of the API."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class ApiToken(models.Model):
    """A user's key to the API. Only its SHA-256 is stored; the prefix distinguishes tokens."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"
        constraints = (
            models.UniqueConstraint(fields=["owner", "prefix"], name="token_prefix_once"),
        )

    def __str__(self) -> str:
        return f"{self.name or 'token'} ({self.prefix}…)"
