"""The settings of another project with Django's admin, and a site of its own for the app."""

from tests.host.settings import *  # noqa: F403 - all of them
from tests.host.settings import BATCHES, INSTALLED_APPS

INSTALLED_APPS.remove("unfold")
BATCHES["ADMIN_SITE"] = "tests.host.sites.backoffice"
