"""Tokens are made for oneself, or by superusers for anybody, and end when they are said to."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batches.models import ApiToken
from batches.secrets.tokens import authenticate
from tests.admin.conftest import Login

ADD = "admin:batches_apitoken_add"


def made(client: Client, owner: User, **fields: str) -> str:
    """The secret of a new token of a user; empty if there is none."""
    answer = client.post(reverse(ADD), {"owner": owner.pk, "name": "laptop", **fields})
    return str(answer.context["secret"])


def errors(client: Client, owner: User, **fields: str) -> dict[str, list[str]]:
    answer = client.post(reverse(ADD), {"owner": owner.pk, "name": "laptop", **fields})
    return dict(answer.context["form"].errors)


def user_of(client: Client) -> User:
    return User.objects.get(pk=client.session["_auth_user_id"])


def test_one_makes_tokens_for_oneself_alone(login: Login, root: Client) -> None:
    maker = login("add_apitoken")
    boss = user_of(root)
    assert list(errors(maker, boss)) == ["owner"]
    assert boss.username not in maker.get(reverse(ADD)).content.decode()
    assert not ApiToken.objects.exists()
    assert authenticate(made(maker, user_of(maker))) == user_of(maker)


def test_a_superuser_makes_tokens_for_anybody(login: Login, root: Client) -> None:
    somebody = user_of(login())
    assert authenticate(made(root, somebody)) == somebody


def test_a_token_is_good_until_it_expires(root: Client) -> None:
    boss = user_of(root)
    in_an_hour = timezone.now() + timedelta(hours=1)
    secret = made(root, boss, expires_at=f"{in_an_hour:%Y-%m-%dT%H:%M}")
    kept: ApiToken = ApiToken.objects.get()
    assert kept.expires_at == in_an_hour.replace(second=0, microsecond=0)
    assert authenticate(secret) == boss
    ApiToken.objects.update(expires_at=timezone.now())
    assert authenticate(secret) is None


@pytest.mark.parametrize(
    ("moment", "message"), [("2020-01-01T00:00", "in the past"), ("soon", "Enter a valid date")]
)
def test_a_token_that_never_was_good_is_not_made(root: Client, moment: str, message: str) -> None:
    assert message in errors(root, user_of(root), expires_at=moment)["expires_at"][0]
    assert not ApiToken.objects.exists()
