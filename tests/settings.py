"""The settings, with a data folder that the tests may throw away."""

import atexit
import os
import shutil
import tempfile

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="threephase-tests-")

from config.settings import *  # noqa: F403 - all settings, changed below
from config.settings import DATABASES, INSTALLED_APPS, data_folder

# Rows that answers are written into.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.library"]

atexit.register(shutil.rmtree, data_folder, ignore_errors=True)

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, as in production: threads with connections of their own must be able to meet there.
    DATABASES["default"]["TEST"] = {"NAME": str(data_folder / "tests.sqlite3")}
