"""Who looks at the admin in the tests."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

Login = Callable[..., Client]


@pytest.fixture
def login(db: None) -> Login:
    """Somebody of the staff with these permissions, such as "view_batch", logged in."""

    def make(*permissions: str, staff: bool = True, superuser: bool = False) -> Client:
        number = User.objects.count()
        user = User.objects.create_user(f"user{number}", is_staff=staff, is_superuser=superuser)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(SERVER_NAME="localhost")
        client.force_login(user)
        return client

    return make


@pytest.fixture
def root(login: Login) -> Client:
    """Somebody who may do everything."""
    return login(superuser=True)
