"""The settings of the project that has the app."""

from config.settings import *  # noqa: F403 - all settings, changed below
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.library"]
