"""Which environment variables may hold the key of a provider.

Whoever names one decides where its value is sent. On the command line that is the operator, who has
the environment anyway; in the admin it is staff, who have not.
"""

from fnmatch import fnmatchcase

from django.conf import settings

# What this project reads secrets from, itself and its containers. No provider gets these.
OWN_SECRETS = frozenset(
    {
        *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "FIELD_ENCRYPTION_KEYS"),
        *("DATABASE_URL", "CELERY_BROKER_URL", "RATE_LIMIT_REDIS_URL"),
        *("POSTGRES_PASSWORD", "PGPASSWORD", "REDIS_PASSWORD", "REDISCLI_AUTH"),
        *("PROVIDER_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
        "DJANGO_SUPERUSER_PASSWORD",
    }
)


class VariableRefused(Exception):
    """A variable that may not hold the key of a provider; the message says which may."""


def check_variable(name: str) -> None:
    """Refuse what is a secret of this project, whoever names it. Raises VariableRefused."""
    # Where the case of names does not matter, it does not matter here either.
    if name.upper() in OWN_SECRETS:
        raise VariableRefused(f"{name} is a secret of this server and is sent to no provider")


def check_variable_of_staff(name: str) -> None:
    """Refuse what staff may not name in the admin. Raises VariableRefused."""
    check_variable(name)
    patterns = settings.PROVIDER_KEY_VARIABLES
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        allowed = ", ".join(patterns) or "none"
        raise VariableRefused(
            f"{name} may not be named here; allowed are {allowed} (PROVIDER_KEY_VARIABLES)"
        )
