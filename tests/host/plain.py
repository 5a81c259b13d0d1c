"""The settings of another project with Django's own admin."""

from tests.host.settings import *  # noqa: F403
from tests.host.settings import INSTALLED_APPS

INSTALLED_APPS.remove("unfold")
