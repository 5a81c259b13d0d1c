"""Create the first superuser, so that the admin of a new installation has a login."""

import secrets

from django.contrib.auth.models import User

NAME = "admin"
PASSWORD_BYTES = 12


def make_first_login() -> str | None:
    """Create the user `admin` if there is no superuser; return the new random password.

    Return None if an active superuser exists, or if another user already has this name.
    """
    taken = User.objects.filter(username=NAME).exists()
    if taken or User.objects.filter(is_superuser=True, is_active=True).exists():
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    User.objects.create_superuser(NAME, password=password)
    return password
