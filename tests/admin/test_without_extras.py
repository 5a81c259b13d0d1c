"""A server without the packages of an extra says so where a person asked for what needs them."""

import sys

import pytest
from django.test import Client
from django.urls import reverse

from batches.models import Provider
from tests.admin.makers import ended_batch

INSTALL = "Parquet needs pyarrow; install it: pip install &quot;threephase[tables]&quot;"

pytestmark = pytest.mark.django_db


def test_parquet_needs_arrow(
    root: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended_batch(provider, ["a"], answers={0: "b"})
    page = reverse("admin:batches_batch_change", args=[batch.pk])
    link = reverse("admin:batches_batch_parquet", args=[batch.pk])
    assert f'href="{link}" download' in root.get(page).content.decode()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    # A browser would save the message as a file.
    assert f'href="{link}">' in root.get(page).content.decode()
    answer = root.get(link, follow=True)
    assert answer.redirect_chain == [(page, 302)]
    assert INSTALL in answer.content.decode()
    chosen = {"action": "export_parquet", "_selected_action": [batch.pk]}
    answer = root.post(reverse("admin:batches_batch_changelist"), chosen, follow=True)
    assert INSTALL in answer.content.decode()
