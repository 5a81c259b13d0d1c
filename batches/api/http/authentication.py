"""Token authentication: `Authorization: Bearer tp_...`."""

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from batches.secrets.tokens import authenticate
from batches.users import User

SCHEME = "Bearer"

_REMEDY = "create one with: manage.py create_token USERNAME"


def user_of(request: HttpRequest | Request) -> User:
    """Return the user of a request's token. Raise NotAuthenticated or AuthenticationFailed."""
    return user_of_header(request.META.get("HTTP_AUTHORIZATION", ""))


def user_of_header(header: str) -> User:
    """Return the user of the token in an Authorization header. Raise as `user_of` does."""
    if not header:
        raise NotAuthenticated(f"No API key was given; send 'Authorization: Bearer KEY', {_REMEDY}")
    scheme, _, secret = header.partition(" ")
    user = authenticate(secret.strip()) if scheme.lower() == SCHEME.lower() else None
    if user is None:
        # Neither the key nor its owner is repeated: this goes into logs.
        raise AuthenticationFailed(f"This API key is wrong, expired or disabled; {_REMEDY}")
    return user


class TokenAuthentication(BaseAuthentication):
    """DRF's interface to `user_of`."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        return user_of(request), None

    def authenticate_header(self, _request: Request) -> str:
        return SCHEME
