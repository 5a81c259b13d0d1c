"""A new installation gets one login, with a password that nobody could guess."""

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User

from batches.management.embedded.first_login import make_first_login
from batches.secrets.tokens import authenticate as authenticate_token

pytestmark = pytest.mark.django_db


def test_the_first_user_may_log_in_with_the_password_that_is_returned() -> None:
    login = make_first_login()
    assert login is not None
    password = login.password
    assert len(password) >= 16
    assert authenticate_token(login.token) == User.objects.get()
    user = authenticate(username="admin", password=password)
    assert user is not None
    assert user.is_superuser
    assert password not in User.objects.get().password


def test_it_is_made_once() -> None:
    assert make_first_login() != make_first_login()
    assert make_first_login() is None
    assert User.objects.count() == 1


def test_nobody_is_made_where_somebody_can_log_in() -> None:
    User.objects.create_superuser("ada", password="x")
    assert make_first_login() is None


def test_a_user_of_that_name_is_not_given_more() -> None:
    User.objects.create_user("admin", password="x")
    assert make_first_login() is None
    assert not User.objects.get().is_superuser
