"""The settings of another project, with users of its own and the app under a prefix.

They are Django's, apart from what the app needs.
"""

import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[2]
SECRET_KEY = "of a project of tests"
ALLOWED_HOSTS = ["*"]
USE_TZ = True

AUTH_USER_MODEL = "members.Member"
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "tests.host.goods",
    "tests.host.members",
    "rest_framework",
    "batches",
]
MIDDLEWARE = [
    "batches.api.request_id.request_id",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.host.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
STATIC_URL = "static/"
MEDIA_ROOT = tempfile.mkdtemp(prefix="threephase-tests-")
# A file: threads with connections of their own must be able to meet there.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{MEDIA_ROOT}/db.sqlite3",
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        "TEST": {"NAME": f"{MEDIA_ROOT}/tests.sqlite3"},
    }
}
BATCHES = {"PROVIDER_PRIVATE_HOSTS": ["127.0.0.1"], "TASKS_APP": "tests.host.celery.app"}
