"""The WSGI entry point, for WSGI servers."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django.setup(set_prefix=False)

# What follows needs Django to be set up.
from batches.api.http.handler import WsgiHandler

application = WsgiHandler()
