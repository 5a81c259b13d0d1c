"""Create the first superuser, so that the admin of a new installation has a login."""

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from batches.secrets.tokens import create_token
from batches.users import active_users, check_new_user, has_field

NAME = "admin"
PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class FirstLogin:
    """The secrets of a new user, which are stored only as hashes."""

    password: str
    token: str


def make_first_login() -> FirstLogin | None:
    """Create the user `admin` if there is no superuser; return a random password and a token.

    Return None if an active superuser exists, if another user already has this name, or if the
    users of this project need more than a name.
    """
    if not has_field("is_superuser") or active_users().filter(is_superuser=True).exists():
        return None
    try:
        check_new_user(NAME)
    except ValidationError:
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    users = get_user_model()
    user = users._default_manager.create_superuser(
        **{users.USERNAME_FIELD: NAME, "password": password}
    )
    return FirstLogin(password, create_token(user, name="first start"))
