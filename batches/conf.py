"""The settings of the app: `BATCHES = {…}` among the settings of the project.

Each has a default, so that a project names only what it changes. docs/settings.md lists them.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from batches.engine.text.wording import did_you_mean

NAME = "BATCHES"
MIB = 1024 * 1024
# Of a key that encrypts.
SHORTEST_SECRET = 32

# A century: no span of time needs more, and dates end.
MOST_SECONDS = 100 * 365 * 86_400

Seconds = Annotated[PositiveInt, Field(le=MOST_SECONDS)]
Secret = Annotated[str, Field(min_length=SHORTEST_SECRET)]
# Lists are taken as well as tuples.
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class BatchesSettings(BaseModel):
    """The settings, checked; the descriptions are the ones in the docs."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    LEASE_SECONDS: Seconds = Field(
        60, description="seconds that a worker may be silent before its chunks go to another worker"
    )
    SLICE_SECONDS: Seconds = Field(
        60, description="seconds that a worker stays with one batch while others wait"
    )
    GRACE_SECONDS: NonNegativeInt = Field(
        25, le=MOST_SECONDS, description="seconds that calls in flight may take after SIGTERM"
    )
    SWEEP_SECONDS: Seconds = Field(30, description="seconds between two sweeps")
    DOORBELL: Literal["celery", "tasks", "none"] = Field(
        "celery",
        description="how workers learn of work: `celery`, `tasks` or `none` "
        "([workers](workers.md))",
    )
    TASKS_APP: str = Field(
        "celery.current_app",
        description="dotted path of the Celery app that sends messages to the workers",
    )
    ADMIN_SITE: str = Field(
        "django.contrib.admin.site",
        description="dotted path of the AdminSite that has the pages of the app",
    )
    RATE_LIMIT_REDIS_URL: str = Field(
        "",
        description="URL of the Redis that shares rate limits between processes; without it each "
        "runner uses its part of the limits",
    )
    PROVIDER_PATIENCE: NonNegativeInt = Field(
        900,
        le=MOST_SECONDS,
        description="seconds to wait for a provider that does not answer before it is paused",
    )
    PROVIDER_PRIVATE_HOSTS: Texts = Field(
        (),
        description="private hosts, addresses and networks that may be called, such as your own "
        "vLLM server",
    )
    PROVIDER_KEY_VARIABLES: Texts = Field(
        ("*_API_KEY",),
        description="patterns of the environment variables that staff may name for a provider's "
        "key; the project's own secrets are always refused",
    )
    PROVIDER_CA_BUNDLE: str = Field(
        "",
        description="path of a PEM file of certificate authorities to trust besides the public "
        "ones; or `system`, to trust the ones of the operating system instead",
    )
    PROVIDER_CLIENT_CERT: Texts = Field(
        (),
        description="the client certificate for providers: the path of a PEM file with its key, "
        "or the paths of two files",
    )
    PROVIDER_PROXY: str = Field(
        "",
        description="URL of the proxy to all providers, `http://user:password@host:port`; or "
        "`env`, to use HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, which else are ignored",
    )
    PROVIDER_TRANSPORT: str = Field(
        "",
        description="dotted path of a function that takes a base URL and returns your own "
        "transport of httpx",
    )
    WEBHOOK_PRIVATE_HOSTS: Texts = Field(
        (),
        description="private hosts, addresses and networks that may receive webhooks; users choose "
        "the receivers, so add hosts with care",
    )
    MAX_WEBHOOK_ENDPOINTS_PER_USER: PositiveInt = Field(
        20, description="the most webhook endpoints of one user"
    )
    MAX_PROMPTS_PER_BATCH: PositiveInt = Field(
        1_000_000, description="the most prompts of one batch"
    )
    MAX_INLINE_PROMPTS: PositiveInt = Field(
        10_000, description="the most prompts in one API request without a file"
    )
    MAX_LINE_BYTES: PositiveInt = Field(
        20 * MIB, description="bytes of the longest line of an input; a photograph in base64 fits"
    )
    MAX_SCHEMA_BYTES_PER_BATCH: PositiveInt = Field(
        32 * MIB,
        description="bytes of the different large JSON Schemas of a batch together; preparing "
        "1 MiB takes one or two seconds of CPU time",
    )
    MAX_SCHEMA_BYTES_PER_USER: PositiveInt = Field(
        128 * MIB,
        description="bytes of the different large JSON Schemas of a user's unfinished batches "
        "together",
    )
    MAX_FILE_BYTES: PositiveInt = Field(
        512 * MIB, description="bytes of the largest file that is uploaded in one request"
    )
    MAX_UPLOAD_BYTES: PositiveInt = Field(
        8192 * MIB, description="bytes of the largest file that is uploaded in parts"
    )
    MAX_PART_BYTES: PositiveInt = Field(64 * MIB, description="bytes of the largest part")
    MAX_REPLY_BYTES: PositiveInt = Field(
        16 * MIB,
        description="bytes of the longest reply of a provider, decompressed; longer replies are "
        "cut off and count as malformed",
    )
    MAX_BYTES_IN_FLIGHT: PositiveInt = Field(
        64 * MIB,
        description="bytes of requests and of unstored replies that a worker process holds in "
        "memory, for all its batches; more must wait",
    )
    REUSE_DAYS: PositiveInt = Field(
        30,
        le=MOST_SECONDS // 86_400,
        description="days for which an answer may be used again in other batches of its owner",
    )
    REUSE_ANSWERS: PositiveInt = Field(
        1_000_000, description="answers that are kept for that for each owner"
    )
    FIELD_ENCRYPTION_KEYS: Annotated[tuple[Secret, ...], Field(strict=False)] = Field(
        (),
        description=f"keys of at least {SHORTEST_SECRET} characters that encrypt stored secrets, "
        "the newest first; `openssl rand -hex 32` makes one; without them, SECRET_KEY is used",
    )
    DATA_DIR: Annotated[Path | None, Field(strict=False)] = Field(
        None,
        description="a folder that belongs to the app alone, for `manage.py serve`; uploads that "
        "were cut off are removed from its folder `incoming`",
    )
    EMBEDDED: bool = Field(
        default=False,
        description="whether the database is in DATA_DIR and is migrated by the commands that use "
        "it",
    )


@cache
def conf() -> BatchesSettings:
    """Return the settings of the app. Raise ImproperlyConfigured."""
    return checked(getattr(settings, NAME, {}))


def checked(given: Any) -> BatchesSettings:
    """Return these settings. Raise ImproperlyConfigured, with a line for each wrong key."""
    if found := faults(given):
        raise ImproperlyConfigured("\n".join(found))
    return BatchesSettings.model_validate(given)


def faults(given: Any) -> list[str]:
    """Return a line for each wrong key: its name, what is wrong, and the remedy.

    Values are left out, since some are secrets.
    """
    if not isinstance(given, Mapping):
        return [f'{NAME} must be a dict, such as {NAME} = {{"LEASE_SECONDS": 60}}']
    named = {name: value for name, value in given.items() if isinstance(name, str)}
    wrong = {name: "" for name in given if name not in named}
    try:
        BatchesSettings.model_validate(named)
    except ValidationError as error:
        wrong |= {fault["loc"][0]: fault["msg"] for fault in reversed(error.errors())}
    return [_fault(str(name), wrong[name]) for name in given if name in wrong]


def _fault(name: str, message: str) -> str:
    field = BatchesSettings.model_fields.get(name)
    if field is None:
        hint = did_you_mean(name, BatchesSettings.model_fields) or " Remove it."
        return f'{NAME}["{name}"] is not a setting.{hint}'
    reason = message[0].lower() + message[1:]
    return (
        f'{NAME}["{name}"]: {reason}. It is: {field.description}. '
        f"Leave it out for the default, {field.default!r}."
    )


@receiver(setting_changed)
def _forget(setting: str, **_: Any) -> None:
    if setting == NAME:
        conf.cache_clear()
