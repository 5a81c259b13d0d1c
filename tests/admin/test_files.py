"""Files are downloaded from their list and from their page."""

import re
from collections.abc import Iterable
from typing import cast

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.actions.batches import Origin, create_batch_of_file
from batches.files.files import NewFile, store_file
from batches.lifecycle import BatchStatus
from batches.models import Batch, File, Provider
from tests.admin.makers import ended_batch
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


def linked_batches(client: Client, page: str) -> list[str]:
    return re.findall(r'href="([^"?]+)" title="batch_', client.get(page).content.decode())


def test_files_link_to_their_batches(root: Client, file: File, provider: Provider) -> None:
    owner = User.objects.get(is_superuser=True)
    made = [
        create_batch_of_file(provider, file, file.public_id, options(), origin=Origin(owner))
        for _ in range(2)
    ]
    ended = ended_batch(provider, ["a", "b"], failed={1: "bad"})
    output = ended.output_file
    assert output is not None
    pages = {one.pk: reverse("admin:batches_batch_change", args=[one.pk]) for one in (*made, ended)}
    listed = linked_batches(root, reverse("admin:batches_file_changelist"))
    assert sorted(listed) == sorted([pages[made[1].pk], pages[ended.pk], pages[ended.pk]])
    for one, batch in ((file, made[1]), (output, ended)):
        shown = linked_batches(root, reverse("admin:batches_file_change", args=[one.pk]))
        assert shown == [pages[batch.pk]]


def test_the_list_costs_the_same_for_many_files(
    root: Client, file: File, provider: Provider
) -> None:
    address, counts = reverse("admin:batches_file_changelist"), []
    root.get(address)
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            root.get(address)
        counts.append(len(captured))
        for _ in range(5):
            ended_batch(provider, ["a"])
    assert counts[0] == counts[1] <= 12
