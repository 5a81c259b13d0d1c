"""Asking the API in-process, as a user with a token."""

import itertools
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from batches.secrets.tokens import create_token

_numbers = itertools.count(1)


def user_named(name: str | None = None, **fields: Any) -> User:
    """A new user, without a password."""
    return User.objects.create_user(name or f"user{next(_numbers)}", **fields)


def client_of(user: User | None = None) -> Client:
    """A client with a new token of this user, or of a new one."""
    token = create_token(user or user_named())
    return Client(headers={"Authorization": f"Bearer {token}"})


def error_of(reply: Any, status: int) -> dict[str, Any]:
    """The error of an answer, which must have this status and the whole envelope."""
    assert reply.status_code == status, reply.content
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    useless = 400 <= status < 500 and status not in (408, 429)
    assert reply.headers.get("x-should-retry") == ("false" if useless else None)
    assert reply.headers["x-request-id"].startswith("req_")
    error: dict[str, Any] = body["error"]
    return error
