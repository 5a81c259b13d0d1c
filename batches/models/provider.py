"""Where requests go."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Provider(models.Model):
    """An OpenAI-compatible endpoint. Made by staff only: it decides where requests go."""

    name = models.CharField(max_length=100, unique=True)
    base_url = models.CharField(max_length=500, help_text="such as https://api.example.com/v1")
    api_key_env = models.CharField(
        max_length=100,
        blank=True,
        help_text="the environment variable that holds the key; the key itself is not stored",
    )
    model_names = models.JSONField(
        default=list, blank=True, help_text="models it serves; empty: whatever it is asked for"
    )
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="provider_one_default"
            ),
        )

    def __str__(self) -> str:
        return self.name
