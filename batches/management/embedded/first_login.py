"""Somebody must be able to log in to the admin of a new installation."""

import secrets

from django.contrib.auth.models import User

NAME = "admin"
PASSWORD_BYTES = 12


def make_first_login() -> str | None:
    """Make the user `admin` if there is no superuser yet; the password, which nobody knows yet.

    None if somebody can log in, or if there is a user of this name who may not.
    """
    taken = User.objects.filter(username=NAME).exists()
    if taken or User.objects.filter(is_superuser=True, is_active=True).exists():
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    User.objects.create_superuser(NAME, password=password)
    return password
