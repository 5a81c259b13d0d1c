"""The web server's way in: `uvicorn config.asgi:application`."""

import os
import tempfile

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django.setup(set_prefix=False)

# What follows needs Django to be set up.
from django.conf import settings

from batches.api.http.body_limit import BodyLimit
from batches.api.http.handler import Handler

# Django keeps the bodies of requests in temporary files, which are better not in memory, as the
# system's folder for them may be.
tempfile.tempdir = str(settings.FILE_UPLOAD_TEMP_DIR)

application = BodyLimit(Handler())
