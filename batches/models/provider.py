"""Providers: the endpoints that receive requests; and their outages."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from batches.engine.endpoints import ENDPOINTS, check_path
from batches.models.bounds import MAX_MODEL_CHARS, MAX_REASON_CHARS
from batches.models.fields import pause_kind_field

MAX_EXTRA_ENDPOINTS = 100
# A command names a provider after its base URL; this much of the name stays when it is numbered.
AD_HOC_NAME_CHARS = 90
# An outage without a probe for this long is stale: no runner updates it any more.
STALE = timedelta(minutes=3)


def checked_extra_endpoints(paths: object) -> list[str]:
    """Return each path once, without the endpoints that every provider has.

    Raise ValidationError unless it is a list of paths.
    """
    if not isinstance(paths, list) or len(paths) > MAX_EXTRA_ENDPOINTS:
        raise ValidationError(
            f'Give a list of at most {MAX_EXTRA_ENDPOINTS} paths, such as ["/v1/rerank"].'
        )
    try:
        for path in paths:
            check_path(str(path))
    except ValueError as error:
        raise ValidationError(str(error)) from error
    return [path for path in dict.fromkeys(paths) if path not in ENDPOINTS]


class Provider(models.Model):
    """An OpenAI-compatible endpoint. Only staff create it, since it decides where requests go."""

    name = models.CharField(max_length=100, unique=True)
    base_url = models.CharField(
        "base URL", max_length=500, help_text="such as https://api.example.com/v1"
    )
    api_key_encrypted = models.TextField(blank=True, db_default="")
    api_key_env = models.CharField(
        max_length=100,
        blank=True,
        help_text="the environment variable that holds the key; then the key is not stored",
    )
    # Network set-up of its calls; empty fields use the settings for all providers.
    ca_certificates = models.TextField(
        "CA certificates",
        blank=True,
        default="",
        db_default="",
        help_text="certificate authorities in PEM format that are trusted besides the public ones",
    )
    client_certificate_encrypted = models.TextField(blank=True, default="", db_default="")
    proxy_encrypted = models.TextField(blank=True, default="", db_default="")
    model_names = models.JSONField(
        default=list, blank=True, help_text="models it serves; empty: whatever it is asked for"
    )
    extra_endpoints = models.JSONField(
        default=list,
        blank=True,
        validators=[checked_extra_endpoints],
        help_text='paths that batches may call besides the usual ones: ["/v1/rerank"]',
    )
    is_default = models.BooleanField(default=False)
    takes_cache_keys = models.BooleanField(
        "takes cache keys",
        default=False,
        db_default=False,
        help_text="the field prompt_cache_key is sent with prompts that are sorted by beginnings",
    )

    # The limits of its plan; empty: the limits advertised in its replies, else learned from 429s.
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    max_in_flight = models.PositiveIntegerField(
        null=True, blank=True, help_text="calls at once, of all batches together"
    )
    announced_limits = models.JSONField(
        null=True, editable=False, help_text="by model, from the headers of its replies"
    )
    prices = models.JSONField(
        default=dict,
        blank=True,
        help_text="dollars per million tokens, where the known prices do not hold: "
        '{"some-model": {"input": 0.5, "output": 1.5}}',
    )

    # The reason why nothing is sent to it; empty while it is open.
    pause_reason = models.CharField(
        max_length=MAX_REASON_CHARS, blank=True, db_default="", editable=False
    )
    pause_kind = pause_kind_field()
    paused_at = models.DateTimeField(null=True, editable=False)
    # The time of the next probe (a single call); null if only staff may resume it.
    probe_at = models.DateTimeField(null=True, editable=False)
    probes = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # The batch whose refusals paused it, if the batch itself may be at fault.
    suspect = models.ForeignKey(
        "batches.Batch", models.SET_NULL, null=True, editable=False, related_name="+"
    )

    # The Unix time of the last connection test that it answered; answers to prompts are counted on
    # batches.
    answered_at = models.FloatField(default=0.0, db_default=0.0, editable=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="provider_one_default"
            ),
            models.CheckConstraint(
                condition=~Q(requests_per_minute=0) & ~Q(tokens_per_minute=0) & ~Q(max_in_flight=0),
                name="provider_limits_positive",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def allows(self, endpoint: str) -> bool:
        """Return True if batches may call this endpoint of the provider."""
        return endpoint in ENDPOINTS or endpoint in self.extra_endpoints

    @property
    def is_ad_hoc(self) -> bool:
        """Return True if a command created it for --base-url, and no staff has named it since."""
        return self.name.startswith(f"{self.base_url} ("[:AD_HOC_NAME_CHARS])

    @property
    def limits_name(self) -> str:
        """Return the name for the state of its limits; each base URL has limits of its own."""
        return f"{self.pk} {self.base_url}"


class OutageQuerySet(models.QuerySet["Outage"]):
    def current(self) -> "OutageQuerySet":
        """Select the outages that a runner still updates."""
        return self.filter(probe_at__gt=Now() - STALE)


class Outage(models.Model):
    """A model of a provider that does not answer. Its runners wait, and one of them sends each
    probe when it is due. The row is deleted when the model answers again."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="outages", db_index=False)
    model = models.CharField(max_length=MAX_MODEL_CHARS)
    reason = models.CharField(max_length=MAX_REASON_CHARS)
    since = models.DateTimeField(db_default=Now())
    probe_at = models.DateTimeField()
    probes = models.PositiveIntegerField(default=0)

    objects = OutageQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["provider", "model"], name="outage_of_model_once"),
        )
