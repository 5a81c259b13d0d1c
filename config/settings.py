"""Settings. Everything that may differ between machines is an environment variable, read here."""

import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from batches.conf import checked
from batches.management.embedded.message_broker import broker_transport_options, broker_url
from batches.net.connection_timeouts import libpq_options, socket_options
from config.environment import at_least, data_dir, env, one_of, secret_key, settings_of_app

ENGINES = frozenset({"django.db.backends.postgresql", "django.db.backends.sqlite3"})
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

BASE_DIR = Path(__file__).resolve().parent.parent


# The folder for all data of the embedded mode: the database, files, the secret key.
data_folder = data_dir(otherwise=BASE_DIR / "var")

# Without a DATABASE_URL everything is embedded: SQLite, and a secret key made on first use.
is_embedded = "DATABASE_URL" not in os.environ

broker = os.environ.get("CELERY_BROKER_URL", broker_url(data_folder))
this_machine = ["localhost", "127.0.0.0/8", "::1"] if is_embedded else []

# The settings of the app, which all have defaults: see docs/settings.md. The others in this module
# belong to Django and to other packages.
BATCHES = {
    "DATA_DIR": data_folder,
    "EMBEDDED": is_embedded,
    "TASKS_APP": "config.celery.app",
    # Where there is a broker.
    "RATE_LIMIT_REDIS_URL": broker if env.str("DOORBELL", default="celery") == "celery" else "",
    # Such as your own vLLM server.
    "PROVIDER_PRIVATE_HOSTS": this_machine,
    "WEBHOOK_PRIVATE_HOSTS": this_machine,
    **settings_of_app(),
}
app = checked(BATCHES)


def database() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL", f"sqlite:///{data_folder / 'db.sqlite3'}")
    scheme, _, _ = url.partition("://")
    try:
        if environ.Env.DB_SCHEMES.get(scheme) not in ENGINES:
            raise ValueError(scheme)
        options: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError:
        # Omit the value and the cause, which may contain a password.
        raise ImproperlyConfigured(
            "DATABASE_URL must be postgres://user:password@host/name or sqlite:///path"
        ) from None
    if options["ENGINE"] == "django.db.backends.sqlite3":
        # IMMEDIATE: with the default, transactions that read before they write fail under
        # contention instead of waiting for each other. WAL: readers never wait for the writer.
        # Statements that insert many rows are large, so that few are kept prepared.
        options["OPTIONS"] = {
            "timeout": 20,
            "cached_statements": 32,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        given = options.get("OPTIONS", {})
        options["OPTIONS"] = {**libpq_options(app.LEASE_SECONDS), **given}
        # These cursors live in a session, which a pooler may give to another client.
        options["DISABLE_SERVER_SIDE_CURSORS"] = True
        if most := at_least("DATABASE_POOL", lowest=0, default=0):
            options["OPTIONS"]["pool"] = {
                "min_size": 1,
                "max_size": most,
                "timeout": float(options["OPTIONS"]["connect_timeout"]),
            }
            options["CONN_HEALTH_CHECKS"] = True
    return options


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = secret_key(data_folder, is_embedded=is_embedded)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    # Before the admin, whose templates it replaces.
    "unfold",
    # config.urls discovers the pages of the admin, since commands and workers do not need them.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    # The files of the page /v1/docs.
    "drf_spectacular_sidecar",
    "batches",
    "config",
]
MIDDLEWARE = [
    "batches.api.request_id.request_id",
    "django.middleware.security.SecurityMiddleware",
    "config.static_files.static_files",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]
# Pages may load and run only what this server sends. The admin shows text that models wrote. It is
# escaped; if it were not, it still could not run as a script, load anything, or send anything away.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        # Alpine, which the admin's theme uses, evaluates its attributes.
        "script-src": ["'self'", "'unsafe-eval'"],
        # Colours and widths are in style attributes.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
ROOT_URLCONF = "config.urls"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        # Before unfold's and Django's, some of which are replaced.
        "DIRS": [BASE_DIR / "config" / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
# Paths of the API have no slash at their end; paths of the admin have one.
APPEND_SLASH = True
DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK: dict[str, Any] = {"UNAUTHENTICATED_USER": None}

# --- The admin and its login ---

# True if browsers use HTTPS through a proxy that sets X-Forwarded-Proto.
HTTPS = env.bool("HTTPS", default=False)
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Health checks come from inside, without the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
# HSTS settings for other hosts of the domain are not the decision of this project.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "threephase_session"
CSRF_COOKIE_NAME = "threephase_csrf"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
CSRF_FAILURE_VIEW = "config.error_pages.csrf_failure"

# If this folder exists, as in the image, static files are served from it, else from the packages.
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if (BASE_DIR / "staticfiles").is_dir() else None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Only this user may read uploaded files.
    "batches": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Threephase",
    "SITE_HEADER": "Threephase",
    "SITE_SUBHEADER": "Batches of LLM prompts",
    "SITE_SYMBOL": "stacks",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("batches/icon.svg"),
        },
    ],
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "batches.admin.dashboard.with_dashboard",
    "STYLES": [lambda _request: static("batches/admin.css")],
    "SIDEBAR": {"navigation": "batches.admin.navigation.navigation"},
}

MEDIA_ROOT = data_folder / "files"
# Beside the files, so that an upload is renamed into place and not copied.
FILE_UPLOAD_TEMP_DIR = data_folder / "incoming"
# All request bodies except uploaded files are read into memory.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024

log_level = one_of("LOG_LEVEL", LOG_LEVELS, default="WARNING")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"batches": {"handlers": ["stderr"], "level": log_level, "propagate": False}},
}

# --- Celery: messages only. The state is in the database (docs/adr/0001) ---

CELERY_BROKER_URL = broker


def transport_options(url: str) -> dict[str, Any]:
    sockets = socket_options(app.LEASE_SECONDS)
    if url.startswith("redis"):
        return {
            # Detect a broker that hangs within seconds, not minutes.
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            # A worker that waits for a message sends nothing itself. Only probes reveal a dead
            # connection, and keep a firewall from dropping it.
            "socket_keepalive": True,
            "socket_keepalive_options": sockets,
            # Far longer than a slice; a message that is redelivered early would do no harm.
            "visibility_timeout": 3600,
        }
    if url.startswith("amqp"):
        return {"socket_settings": sockets}
    return {} if "CELERY_BROKER_URL" in os.environ else broker_transport_options(data_folder)


CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL)
# Acknowledge messages early: losing one is harmless, and with late acknowledgement a task longer
# than the visibility timeout runs twice at once.
CELERY_TASK_ACKS_LATE = False
# Results of tasks are in the database; there is no result backend.
CELERY_TASK_IGNORE_RESULT = True
# A worker takes a message only when it has a free thread.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Accept only data from the broker, never code.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
# A worker may start before its broker, and then waits for it.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The default gives up after 100 tries, and the worker with it.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Used by beat; other senders do not retry. The next sweep comes anyway.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1}
# Celery must not change the logging that is configured above.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Beat uses the same time zone as Django.
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE = {
    # A message is useless once the next one is sent.
    "sweep": {
        "task": "batches.tasks.sweep",
        "schedule": app.SWEEP_SECONDS,
        "options": {"expires": app.SWEEP_SECONDS},
    },
}
