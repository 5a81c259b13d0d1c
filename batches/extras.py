"""Packages that only some parts of the app need, and the extras that install them."""

from importlib.util import find_spec

from django.apps import apps

PACKAGE = "threephase"
# The modules without which a part of the app does not work, by extra.
NEEDED = {
    "admin": ("unfold",),
    "api": ("rest_framework", "drf_spectacular", "csp"),
    "celery": ("celery",),
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "serve": ("celery", "uvicorn"),
    "tables": ("pyarrow",),
}

# They have the template and the script of the API's reference page.
APPS_OF_DOCS = ("drf_spectacular", "drf_spectacular_sidecar")


class ExtraMissing(ImportError):
    """A part of the app needs packages that are not installed; the message says how to get them."""


def is_installed(extra: str) -> bool:
    """Return True if all that a part of the app needs is installed."""
    return not _missing(extra)


def require(extra: str, what: str) -> None:
    """Raise ExtraMissing unless all that `what` needs is installed."""
    if names := _missing(extra):
        raise ExtraMissing(f"{what} needs {' and '.join(names)}; {remedy(extra)}")


def remedy(extra: str) -> str:
    """Return how to install an extra."""
    return f'install it: pip install "{PACKAGE}[{extra}]"'


def apps_lacking() -> list[str]:
    """Return the apps that the API's reference page needs and the project does not have."""
    return [app for app in APPS_OF_DOCS if not apps.is_installed(app)]


def _missing(extra: str) -> list[str]:
    return [name for name in NEEDED[extra] if find_spec(name) is None]
