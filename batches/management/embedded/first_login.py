"""Create the first superuser, so that the admin of a new installation has a login."""

import secrets
from dataclasses import dataclass

from django.contrib.auth.models import User

from batches.secrets.tokens import create_token

NAME = "admin"
PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class FirstLogin:
    """The secrets of a new user, which are stored only as hashes."""

    password: str
    token: str


def make_first_login() -> FirstLogin | None:
    """Create the user `admin` if there is no superuser; return a random password and a token.

    Return None if an active superuser exists, or if another user already has this name.
    """
    taken = User.objects.filter(username=NAME).exists()
    if taken or User.objects.filter(is_superuser=True, is_active=True).exists():
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = User.objects.create_superuser(NAME, password=password)
    return FirstLogin(password, create_token(user, name="first start"))
