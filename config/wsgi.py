"""The web server's way in: a WSGI server, if you have one already."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django.setup(set_prefix=False)

# What follows needs Django to be set up.
from batches.api.http.handler import WsgiHandler

application = WsgiHandler()
