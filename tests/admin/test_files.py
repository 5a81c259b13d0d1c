"""Files are downloaded from their list and from their page."""

import re
from collections.abc import Iterable
from typing import cast

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from batches.actions.batches import Origin, create_batch_of_file
from batches.files.files import NewFile, store_file
from batches.lifecycle import BatchStatus
from batches.models import Batch, File, Provider
from tests.makers import options

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


def test_a_file_that_a_batch_is_being_made_of_stays_and_it_is_said_why(
    root: Client, file: File, provider: Provider
) -> None:
    owner = User.objects.get(is_superuser=True)
    batch = create_batch_of_file(provider, file, file.public_id, options(), origin=Origin(owner))
    delete = reverse("admin:batches_file_delete", args=[file.pk])
    answer = root.post(delete, {"post": "yes"}, follow=True)
    assert f"{batch.public_id} is being created from this file" in answer.content.decode()
    assert answer.redirect_chain[0][0] == reverse("admin:batches_file_change", args=[file.pk])
    assert File.objects.filter(pk=file.pk).exists()
    assert not LogEntry.objects.exists()
    Batch.objects.update(status=BatchStatus.IN_PROGRESS)
    root.post(delete, {"post": "yes"})
    assert not File.objects.filter(pk=file.pk).exists()
