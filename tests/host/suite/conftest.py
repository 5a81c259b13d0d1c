"""A user who may do anything."""

from typing import Any

import pytest
from django.test import Client

from tests.host.members.models import Member


@pytest.fixture
def boss() -> Client:
    """A superuser, logged in."""
    client = Client()
    owner: Any = Member.objects.create_superuser("boss@example.org", "secret")
    client.force_login(owner)
    return client
