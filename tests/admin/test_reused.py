"""Answers that were used again, in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from batches.actions import batches as batch_actions
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from tests.makers import MODEL, batch_of

PRICES = {MODEL: {"input": 100, "output": 200}}


def ended(provider: Provider, texts: list[str], **options: Any) -> Batch:
    batch = batch_of(provider, texts, **options)
    assert run_slice(batch.pk).ended
    batch.refresh_from_db()
    return batch


def page(root: Client, name: str, *arguments: object) -> str:
    reply = root.get(reverse(f"admin:batches_batch_{name}", args=arguments))
    assert reply.status_code == 200
    return str(reply.content.decode())


def test_a_batch_says_how_many_answers_were_used_again(root: Client, provider: Provider) -> None:
    batch = ended(provider, ["a", "b", "a"], reuse="batch", name="repeated")
    assert "1 used again</small>" in page(root, "change", batch.pk)
    provider.prices = PRICES
    provider.save()
    assert "1 used again, saved $0." in page(root, "change", batch.pk)
    assert "used again" not in page(root, "change", ended(provider, ["a"]).pk)


def test_a_result_links_to_the_request_that_it_was_made_for(
    root: Client, provider: Provider
) -> None:
    first = ended(provider, ["a"], reuse="owner", name="<first>")
    second = ended(provider, ["b", "a", "b"], reuse="owner")
    shown = [page(root, "result", second.pk, index) for index in range(3)]
    assert "Used again" not in shown[0]
    assert reverse("admin:batches_batch_result", args=[first.pk, 0]) in shown[1]
    assert "&lt;first&gt;" in shown[1]
    assert reverse("admin:batches_batch_result", args=[second.pk, 0]) in shown[2]
    batch_actions.delete_batch(first)
    assert "an equal request that is deleted" in page(root, "result", second.pk, 1)


@pytest.mark.parametrize("name", ["change", "results"])
def test_a_batch_without_any_call_has_its_pages(
    root: Client, provider: Provider, name: str
) -> None:
    ended(provider, ["a", "b"], reuse="owner")
    batch = ended(provider, ["b", "a"], reuse="owner")
    assert (batch.calls, batch.reused) == (0, 2)
    assert "succeeded" in page(root, name, batch.pk)
