"""The settings of a project with Django's own admin: no page of another app replaces its pages."""

from pathlib import Path

from django import forms
from django.contrib import admin

from tests.library.settings import *  # noqa: F403 - all settings, changed below
from tests.library.settings import BASE_DIR, TEMPLATES

ROOT_URLCONF = "tests.library.urls"
[_ENGINE] = TEMPLATES
_FOLDERS = [
    Path(admin.__file__).parent / "templates",
    BASE_DIR / "batches" / "templates",
    Path(forms.__file__).parent / "templates",
]
TEMPLATES = [{**_ENGINE, "APP_DIRS": False, "DIRS": _FOLDERS}]
