"""The first page: what runs, who works, how much of the limits is used."""

from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batches.admin.batches.timing import Timing
from batches.admin.providers.state import SHOWN, provider_states
from batches.models import Provider, Worker
from tests.makers import batch_of


def page(client: Client) -> str:
    return client.get(reverse("admin:index")).content.decode()


def test_it_is_said_that_no_worker_runs(root: Client, provider: Provider) -> None:
    assert "No workers are running. Start a worker." in page(root)
    batch_of(provider, ["a"])
    assert "No workers are running, and 1 batch is waiting. Start a worker." in page(root)
    Worker.objects.create(name="celery@here", process="here:1")
    assert "No workers are running" not in page(root)
    assert "idle</span> celery@here" in page(root)
    Worker.objects.update(seen_at=timezone.now() - timedelta(hours=2))
    assert "silent</span> celery@here" in page(root)
    assert "last heartbeat 2 h ago" in page(root)
    assert "No workers are running" in page(root)


def test_the_use_of_limits_that_were_told_is_shown(provider: Provider) -> None:
    provider.requests_per_minute, provider.tokens_per_minute = 600, 90_000
    provider.max_in_flight = 20
    provider.save()
    batch = batch_of(provider, 100)
    # Two calls for each prompt, of half a second each.
    batch.succeeded, batch.calls, batch.busy_s = 10, 20, 10.0
    batch.input_tokens, batch.output_tokens = 1000, 500
    (state,) = provider_states([(batch, Timing(now_per_s=4.0))])
    assert [(round(use.used), use.limit, use.of_what) for use in state.uses] == [
        (480, 600, "requests per minute"),
        (36_000, 90_000, "tokens per minute"),
        (4, 20, "calls at once"),
    ]


def test_a_provider_that_nobody_uses_uses_nothing(root: Client, provider: Provider) -> None:
    Provider.objects.update(requests_per_minute=600)
    assert "0 of 600 requests per minute" in page(root)


def test_more_providers_than_are_shown_are_told_of(root: Client, provider: Provider) -> None:
    assert "All 1 providers" not in page(root)
    for number in range(SHOWN):
        Provider.objects.create(name=f"p{number}", base_url="http://localhost")
    assert f"All {SHOWN + 1} providers" in page(root)
