"""Packages that only some parts of the app need, and the extras that install them."""

from importlib.util import find_spec

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


def _missing(extra: str) -> list[str]:
    return [name for name in NEEDED[extra] if find_spec(name) is None]
