"""Check which environment variables may hold the key of a provider.

A user who names a variable decides where its value is sent. On the command line that is the
operator, who can read the environment anyway; in the admin it is staff, who cannot.
"""

from fnmatch import fnmatchcase

from batches.conf import conf

# Variables with secrets of this project and its containers. They are never sent to a provider.
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
    """A variable may not hold the key of a provider; the message says which may."""


def check_variable(name: str) -> None:
    """Raise VariableRefused for a secret of this project, even if the operator names it."""
    # Ignore the case, since some systems ignore it in names of variables.
    if name.upper() in OWN_SECRETS:
        raise VariableRefused(f"{name} is a secret of this server and is never sent to a provider")


def check_variable_of_staff(name: str) -> None:
    """Raise VariableRefused for a variable that staff may not name in the admin."""
    check_variable(name)
    patterns = conf().PROVIDER_KEY_VARIABLES
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        allowed = ", ".join(patterns) or "none"
        raise VariableRefused(
            f"{name} may not be named here; allowed are {allowed} (PROVIDER_KEY_VARIABLES)"
        )
