"""Files are downloaded from their list and from their page."""

import re
from collections.abc import Iterable
from typing import cast

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from batches.files import NewFile, store_file
from batches.models import File

CONTENT = b'{"custom_id": "a"}\n'


@pytest.fixture
def file(root: Client) -> File:
    owner = User.objects.get(is_superuser=True)
    new = NewFile(owner=owner, purpose="batch", filename="why.jsonl")
    return store_file(new, ContentFile(CONTENT, name="why.jsonl"))


def linked_from(client: Client, page: str) -> str:
    """Where the link leads that says Download."""
    [address] = re.findall(r'href="([^"]+)">Download<', client.get(page).content.decode())
    return str(address)


def test_a_file_is_downloaded_by_the_links_that_are_shown(root: Client, file: File) -> None:
    for name, arguments in (("changelist", []), ("change", [file.pk])):
        page = reverse(f"admin:batches_file_{name}", args=arguments)
        answer = root.get(linked_from(root, page))
        assert b"".join(cast(Iterable[bytes], answer)) == CONTENT
        assert answer.headers["Content-Disposition"] == 'attachment; filename="why.jsonl"'
