"""Django's system checks of the project that the app is part of."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's name
from django.core.files.storage import storages
from django.db import connections, router
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from batches.conf import NAME, conf, faults
from batches.extras import apps_lacking, is_installed, remedy
from batches.models import Batch
from batches.models.file import STORAGE
from batches.workers.doorbells import doorbell_named

TAG = "batches"
DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
# The beginnings of the URLs of a Redis.
REDIS = ("redis", "unix")
API_URLS = "batches.api.urls"
REQUEST_ID = "batches.api.request_id.request_id"
# Django's startproject begins its keys with this.
KEY_OF_EXAMPLE = "django-insecure-"
# A name that no careful pattern matches.
ANY_VARIABLE = "X"


@register(TAG)
def check_project(**_: Any) -> list[CheckMessage]:
    """Return what keeps the app from working in this project."""
    if wrong := list(_wrong_settings()):
        # The other checks read the settings.
        return wrong
    return [
        *_database(),
        *_times(),
        *_redis(),
        *_names_in_settings(),
        *_doorbell(),
        *_urls(),
        *_reference_page(),
        *_theme(),
    ]


@register(TAG, deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    """Return what is unsafe on a server that others can reach."""
    if faults(getattr(settings, NAME, {})):
        return []
    return [*_secrets(), *_receivers(), *_files()]


def _wrong_settings() -> Iterator[CheckMessage]:
    for line in faults(getattr(settings, NAME, {})):
        message, _, hint = line.partition(". ")
        yield Error(f"{message}.", hint=hint or None, id="batches.E001")


def _database() -> Iterator[CheckMessage]:
    alias = router.db_for_write(Batch)
    connection = connections[alias]
    if connection.vendor not in DATABASES:
        name = connection.display_name
        yield Error(
            f"The database {alias!r} of the batches is {name}, which is not supported.",
            hint=f"Use {' or '.join(DATABASES.values())}; a router can give the app its own.",
            id="batches.E002",
        )
    elif connection.vendor == "sqlite" and not _is_immediate(connection.settings_dict):
        yield Warning(
            f"Of two processes that write to the database {alias!r} at once, one would fail.",
            hint='Give it "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20}.',
            id="batches.W007",
        )

    elif connection.vendor == "postgresql" and not is_installed("postgres"):
        yield Error(
            f"The database {alias!r} of the batches is used with psycopg2; batches need psycopg 3.",
            hint=f"Django prefers it once it is there: {remedy('postgres')}",
            id="batches.E007",
        )

    users = router.db_for_write(get_user_model())
    if users != alias:
        yield Error(
            f"Batches are in the database {alias!r}, but users in {users!r}: a batch cannot refer "
            "to its owner.",
            hint="Let the router name the same database for both.",
            id="batches.E006",
        )


def _is_immediate(database: Mapping[str, Any]) -> bool:
    return database["OPTIONS"].get("transaction_mode") in {"IMMEDIATE", "EXCLUSIVE"}


def _times() -> Iterator[CheckMessage]:
    if not settings.USE_TZ:
        yield Error(
            "Without time zones an hour in autumn comes twice, and leases would end wrongly.",
            hint="Set USE_TZ = True; TIME_ZONE may stay as it is.",
            id="batches.E008",
        )


def _redis() -> Iterator[CheckMessage]:
    if conf().RATE_LIMIT_REDIS_URL.startswith(REDIS) and not is_installed("redis"):
        yield Error(
            f'{NAME}["RATE_LIMIT_REDIS_URL"] names a Redis, but its client is not installed.',
            hint=f"Leave the setting out, or {remedy('redis')}",
            id="batches.E003",
        )


def _names_in_settings() -> Iterator[CheckMessage]:
    for name, reason in _dead_names():
        yield Error(f'{NAME}["{name}"]: {reason}.', hint="Correct the name.", id="batches.E004")


def _dead_names() -> Iterator[tuple[str, str]]:
    if path := conf().PROVIDER_TRANSPORT:
        try:
            if not callable(import_string(path)):
                yield "PROVIDER_TRANSPORT", f"{path} is not a function"
        except ImportError as error:
            yield "PROVIDER_TRANSPORT", str(error)
    if (url := conf().RATE_LIMIT_REDIS_URL) and "://" not in url:
        yield "RATE_LIMIT_REDIS_URL", "it does not begin with redis:// or another scheme"
    bundle = conf().PROVIDER_CA_BUNDLE
    files = {
        "PROVIDER_CA_BUNDLE": [] if bundle in {"", "system"} else [bundle],
        "PROVIDER_CLIENT_CERT": conf().PROVIDER_CLIENT_CERT,
    }
    for name, paths in files.items():
        absent = (path for path in paths if not Path(path).is_file())
        yield from ((name, f"there is no file {path}") for path in absent)


def _doorbell() -> Iterator[CheckMessage]:
    name = conf().DOORBELL
    if name == "celery" and not is_installed("celery"):
        yield Warning(
            "Celery is not installed, so that no worker learns of new batches.",
            hint=f'Set {NAME}["DOORBELL"] to "none" and start `manage.py work`, or '
            f"{remedy('celery')}",
            id="batches.W008",
        )
        return
    try:
        doorbell_named(name).check()
    except Exception as error:
        yield Error(
            f'{NAME}["DOORBELL"] is {name!r}, which cannot ring: {error}.',
            hint="docs/workers.md shows what each needs.",
            id="batches.E005",
        )
        return
    if name == "celery" and import_string(conf().TASKS_APP).conf.task_always_eager:
        yield Warning(
            "Celery's task_always_eager has no effect on batches: their messages wait for a worker "
            "that is not there.",
            hint=f'Set {NAME}["DOORBELL"] to "none" and start `manage.py work`, also in tests.',
            id="batches.W009",
        )


def _urls() -> Iterator[CheckMessage]:
    has_urls, has_middleware = _has_api(), REQUEST_ID in settings.MIDDLEWARE
    if has_urls and not has_middleware:
        yield Warning(
            "The API is among the URLs, but its answers and log entries have no request IDs.",
            hint=f'Put "{REQUEST_ID}" first into MIDDLEWARE.',
            id="batches.W001",
        )
    if has_middleware and not has_urls:
        yield Warning(
            "The middleware of the API is there, but the API is not among the URLs.",
            hint=f'Add path("v1/", include("{API_URLS}")) to the URLs.',
            id="batches.W002",
        )


def _reference_page() -> Iterator[CheckMessage]:
    if (missing := apps_lacking()) and _has_api():
        yield Warning(
            f"The reference page of the API needs {' and '.join(missing)}.",
            hint="Add them to INSTALLED_APPS; without them the page docs of the API is not found.",
            id="batches.W010",
        )


def _has_api() -> bool:
    """Return True if the API is among the URLs; a process without URLs has none."""
    has_urls = getattr(settings, "ROOT_URLCONF", None)
    return bool(has_urls) and _includes(get_resolver().url_patterns, API_URLS)


def _includes(patterns: Iterable[URLPattern | URLResolver], name: str) -> bool:
    return any(
        isinstance(pattern, URLResolver)
        and (
            getattr(pattern.urlconf_name, "__name__", "") == name
            or _includes(pattern.url_patterns, name)
        )
        for pattern in patterns
    )


def _theme() -> Iterator[CheckMessage]:
    apps: list[str] = list(settings.INSTALLED_APPS)
    admin = next((n for n, app in enumerate(apps) if app.startswith("django.contrib.admin")), None)
    if admin is not None and "unfold" in apps[admin:]:
        yield Warning(
            "unfold comes after django.contrib.admin, so its pages are not used.",
            hint='Put "unfold" before "django.contrib.admin" in INSTALLED_APPS.',
            id="batches.W003",
        )


def _secrets() -> Iterator[CheckMessage]:
    if settings.SECRET_KEY.startswith(KEY_OF_EXAMPLE) and not conf().FIELD_ENCRYPTION_KEYS:
        yield Warning(
            "The keys of providers are encrypted with a SECRET_KEY that was made for development.",
            hint=f'Set {NAME}["FIELD_ENCRYPTION_KEYS"], or another SECRET_KEY.',
            id="batches.W004",
        )
    if any(fnmatchcase(ANY_VARIABLE, p) for p in conf().PROVIDER_KEY_VARIABLES):
        yield Warning(
            "Staff may send the value of any environment variable to a provider.",
            hint=f'Give patterns such as "*_API_KEY" in {NAME}["PROVIDER_KEY_VARIABLES"].',
            id="batches.W005",
        )


def _receivers() -> Iterator[CheckMessage]:
    if conf().WEBHOOK_PRIVATE_HOSTS and not conf().EMBEDDED:
        hosts = ", ".join(conf().WEBHOOK_PRIVATE_HOSTS)
        yield Warning(
            f"Users may let this server send webhooks to private hosts: {hosts}.",
            hint=f'Remove them from {NAME}["WEBHOOK_PRIVATE_HOSTS"], or silence this check.',
            id="batches.W006",
        )


def _files() -> Iterator[CheckMessage]:
    if STORAGE not in storages.backends:
        yield Warning(
            "Files with prompts are kept among the project's other uploads, which may be public.",
            hint=f'Give STORAGES one named "{STORAGE}", in a folder that no web server serves.',
            id="batches.W011",
        )
