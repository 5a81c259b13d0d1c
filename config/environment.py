"""Read environment variables, with errors that name the variable and the remedy."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from batches.conf import SHORTEST_SECRET, BatchesSettings

env = environ.Env()

# Settings of the app that this project decides.
NOT_VARIABLES = frozenset({"DATA_DIR", "EMBEDDED", "TASKS_APP"})


@contextmanager
def data_folder_used(path: Path) -> Iterator[None]:
    """Raise ImproperlyConfigured for an error of the data folder or of a file in it."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        place = getattr(error, "filename", None) or path
        within = "" if str(place) == str(path) else f"{place}: "
        raise ImproperlyConfigured(
            f"DATA_DIR={path} cannot be used: {within}{reason}. "
            "Name a folder in which you may write and that has room"
        ) from error


def data_dir(otherwise: Path) -> Path:
    """Return the data folder, which is made if it is missing. Raise ImproperlyConfigured."""
    path = Path(env.str("DATA_DIR", default=str(otherwise)))
    with data_folder_used(path):
        path = path.resolve()
        path.mkdir(parents=True, exist_ok=True)
        # Not only a missing folder: a dead mount shows itself when it is read.
        (path / "incoming").mkdir(exist_ok=True)
    return path


def at_least(name: str, lowest: int, default: int) -> int:
    """Return a whole number. Raise ImproperlyConfigured for another text, or one below."""
    try:
        value: int = env.int(name, default=default)
    except ValueError as error:
        text = os.environ.get(name)
        raise ImproperlyConfigured(
            f"{name}={text} must be a whole number, {lowest} or more"
        ) from error
    if value < lowest:
        raise ImproperlyConfigured(f"{name}={value} is too small; the least is {lowest}")
    return value


def one_of(name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return one of the allowed words, in capitals. Raise ImproperlyConfigured for another."""
    value: str = env.str(name, default=default).upper()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value} must be one of {', '.join(allowed)}")
    return value


def settings_of_app() -> dict[str, Any]:
    """Return the settings of the app for which there is a variable of the same name.

    Raise ImproperlyConfigured.
    """
    found: dict[str, Any] = {}
    for name, field in BatchesSettings.model_fields.items():
        if name in os.environ and name not in NOT_VARIABLES:
            match field.default:
                case int():
                    found[name] = at_least(name, lowest=0, default=field.default)
                case tuple():
                    found[name] = env.list(name)
                case _:
                    found[name] = env.str(name)
    return found


def secret_key(folder: Path, *, is_embedded: bool) -> str:
    """Return the configured key; in the embedded mode, else the key of the data folder."""
    given: str = env.str("SECRET_KEY", default="")
    if not given and not is_embedded:
        raise ImproperlyConfigured(
            "SECRET_KEY is required with a DATABASE_URL; make one with: openssl rand -hex 32"
        )
    with data_folder_used(folder):
        return given or embedded_secret_key(folder)


def embedded_secret_key(folder: Path) -> str:
    """Return the key of this data folder; create it on first use.

    Creating a hard link is atomic, so that two concurrent first uses agree on one key.
    """
    path = folder / "secret_key"
    if not path.is_file():
        descriptor, draft = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(50))
            Path(path).hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    # Not a pipe, which would be waited for.
    key = path.read_text() if path.is_file() else ""
    if len(key) < SHORTEST_SECRET:
        raise ValueError(f"{path} holds no key; remove it, and enter stored API keys again")
    return key
