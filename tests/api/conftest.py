"""A user of the API, and the client of that user."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.models import Provider
from tests.api.calling import client_of, user_named


@pytest.fixture
def user(db: None) -> User:
    return user_named()


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    """A client; there is a provider."""
    return client_of(user)
