"""What the parts of the app say in an environment with some of the extras.

It runs outside of this repository, and writes JSON: the extras whose packages are there; and for
each probe the extra that it needs, with what a person would read.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import django
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.test.utils import override_settings

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql"}}


def advice(**batches: Any) -> str:
    """The hints of the checks with these settings."""
    with override_settings(BATCHES=batches):
        return "; ".join(str(found.hint) for found in run_checks(tags=["batches"]))


def of_postgres() -> None:
    with override_settings(DATABASES=POSTGRES):
        AppConfig.create("batches")
    import_module("django.db.backends.postgresql.base")


PROBES: tuple[tuple[str, Callable[[], object]], ...] = (
    ("", lambda: import_module("batches.rows")),
    # Without unfold the pages are in Django's own admin.
    ("", lambda: import_module("batches.admin.batches.admin")),
    ("api", lambda: import_module("batches.api.urls")),
    ("celery", lambda: import_module("batches.tasks")),
    ("celery", lambda: advice(DOORBELL="celery")),
    ("postgres", of_postgres),
    ("redis", lambda: import_module("batches.limits.redis_limits")),
    ("redis", lambda: advice(DOORBELL="none", RATE_LIMIT_REDIS_URL="redis://127.0.0.1/0")),
    ("serve", lambda: call_command("serve")),
    ("tables", lambda: import_module("batches.output.parquet")),
)


def said(probe: Callable[[], object]) -> str:
    try:
        found = probe()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return found if isinstance(found, str) else ""


def main() -> None:
    contrib = ("admin", "auth", "contenttypes", "messages", "sessions")
    settings.configure(
        DATABASES={"default": SQLITE},
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in contrib), "batches"],
        SECRET_KEY="of a test",
    )
    django.setup()
    extras = import_module("batches.extras")
    json.dump(
        {
            "installed": [extra for extra in extras.NEEDED if extras.is_installed(extra)],
            "said": [(extra, said(probe)) for extra, probe in PROBES],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
