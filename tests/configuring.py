"""Other settings of the app for one test."""

from typing import Any

from pytest_django.fixtures import Settings


def configure(settings: Settings, **changed: Any) -> None:
    """Change these settings of the app until the test ends."""
    settings.BATCHES = {**settings.BATCHES, **changed}
