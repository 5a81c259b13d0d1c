"""Tokens let in whom they belong to, for as long as they should, and nobody else."""

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from batches.models import ApiToken
from batches.secrets.tokens import authenticate, create_token
from tests.api.calling import error_of, user_named

pytestmark = pytest.mark.django_db

HOSTILE = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer tp_",
    "Bearer ' OR 1=1--",
    "Bearer tp_' OR '1'='1",
    "Bearer tp_" + "a" * 100_000,
    "Bearer tp_\xe9\xff",
    "Bearer tp_\x00",
    "Basic YWxpY2U6cGFzc3dvcmQ=",
    "tp_no_scheme",
    "Bearer Bearer tp_x",
]


def ask(header: str) -> int:
    return Client().get("/v1/models", headers={"Authorization": header}).status_code


def test_a_token_lets_its_user_in_whatever_the_case_of_the_scheme() -> None:
    secret = create_token(user_named())
    assert ask(f"Bearer {secret}") == 200
    assert ask(f"bearer {secret}") == 200
    assert ask(f"Bearer {secret}x") == 401
    assert ask(f"Bearer {secret[:-1]}") == 401


@pytest.mark.parametrize("header", HOSTILE)
def test_anything_else_is_401_and_says_how_to_authenticate(header: str) -> None:
    create_token(user_named())
    reply = Client().get("/v1/models", headers={"Authorization": header})
    error = error_of(reply, 401)
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert reply["WWW-Authenticate"] == "Bearer"


def test_no_header_is_401() -> None:
    reply = Client().get("/v1/models")
    assert error_of(reply, 401)["code"] == "invalid_api_key"
    assert reply["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_and_an_inactive_user_are_kept_out() -> None:
    now = timezone.now()
    assert authenticate(create_token(user_named(), expires_at=now - timedelta(seconds=1))) is None
    assert authenticate(create_token(user_named(), expires_at=now + timedelta(hours=1)))
    assert authenticate(create_token(user_named(is_active=False))) is None


def test_only_a_digest_and_a_beginning_are_stored() -> None:
    secret = create_token(user_named(), name="laptop")
    row = ApiToken.objects.get()
    assert row.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret.startswith(row.prefix)
    assert len(secret) - len(row.prefix) >= 32
    assert secret not in {str(value) for value in vars(row).values()}


def test_two_tokens_of_a_user_are_different_and_both_good() -> None:
    user = user_named()
    first, second = create_token(user), create_token(user)
    assert first != second
    assert authenticate(first) == authenticate(second) == user


def test_the_last_use_is_written_once_in_a_while() -> None:
    secret = create_token(user_named())
    assert ApiToken.objects.get().last_used_at is None
    authenticate(secret)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    authenticate(secret)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    authenticate(secret)
    again = ApiToken.objects.get().last_used_at
    assert again is not None
    assert again >= first


def make(*arguments: str) -> tuple[str, str]:
    """What the command printed: its output, and its remarks."""
    stdout, stderr = StringIO(), StringIO()
    call_command("create_token", *arguments, stdout=stdout, stderr=stderr)
    return stdout.getvalue(), stderr.getvalue()


def test_the_command_makes_the_user_and_prints_the_token_alone() -> None:
    stdout, stderr = make("alice", "--name", "laptop", "--expires-in-days", "7")
    [secret] = stdout.splitlines()
    alice = User.objects.get(username="alice")
    assert authenticate(secret) == alice
    assert not alice.has_usable_password()
    assert secret not in stderr
    assert "alice" in stderr
    row = ApiToken.objects.get()
    assert row.name == "laptop"
    assert row.expires_at is not None
    assert row.expires_at - row.created_at > timedelta(days=6, hours=23)


def test_the_command_takes_a_user_that_is_there_and_does_not_touch_it() -> None:
    User.objects.create_user("alice", password="secret", is_staff=True)
    [secret] = make("alice")[0].splitlines()
    user = authenticate(secret)
    assert user is not None
    assert user.is_staff
    assert user.has_usable_password()
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("two words",),
        ("a" * 151,),
        ("alice", "--name", "n" * 101),
        ("sleeper",),
    ],
)
def test_the_command_refuses_with_2_and_makes_nothing(arguments: tuple[str, ...]) -> None:
    User.objects.create_user("sleeper", is_active=False)
    with pytest.raises(CommandError) as refused:
        make(*arguments)
    assert refused.value.returncode == 2
    assert not ApiToken.objects.exists()
    assert User.objects.count() == 1


@pytest.mark.parametrize("days", ["0", "-1", "x", "1e9", "36501"])
def test_the_command_refuses_days_that_are_none(days: str) -> None:
    with pytest.raises(CommandError):
        make("alice", f"--expires-in-days={days}")
