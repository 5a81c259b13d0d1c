"""The ASGI entry point: `uvicorn config.asgi:application`."""

import os
import tempfile

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Each request has a thread of its own, so that its connection must come from a pool to be kept.
os.environ.setdefault("DATABASE_POOL", "20")

django.setup(set_prefix=False)

# The imports below need Django to be set up.
from django.conf import settings

from batches.api.http.body_limit import BodyLimit
from batches.api.http.handler import Handler

# Django stores request bodies in temporary files. The system's folder for them may be in memory, so
# use our own.
tempfile.tempdir = str(settings.FILE_UPLOAD_TEMP_DIR)

application = BodyLimit(Handler())
