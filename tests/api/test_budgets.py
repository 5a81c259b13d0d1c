"""Batches with a budget, and batches whose provider is paused, over the API."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.actions import providers as provider_actions
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from tests.api.calling import client_of, error_of, user_named
from tests.makers import MODEL


@pytest.fixture
def user(db: None) -> User:
    return user_named("ann")


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    return client_of(user)


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/v1/{path}", body, content_type="application/json")


def create(client: Client, prompts: int = 20, **options: Any) -> Any:
    texts = [f"prompt {number}" for number in range(prompts)]
    return post(client, "batches", prompts=texts, body={"model": MODEL}, batch_size=2, **options)


def run(batch: dict[str, Any]) -> None:
    run_slice(Batch.objects.get(public_id=batch["id"]).pk)


def read(client: Client, batch: dict[str, Any]) -> Any:
    return client.get(f"/v1/batches/{batch['id']}").json()


def test_a_batch_whose_tokens_are_spent_goes_on_with_a_larger_budget(client: Client) -> None:
    batch = create(client, max_tokens_total=30).json()
    assert batch["max_tokens_total"] == 30
    run(batch)
    paused = read(client, batch)
    assert paused["status"] == "in_progress"
    reason, kept = paused["pause_reason"].rsplit(": ", 1)
    limit, spent = reason.rsplit(" at ", 1)
    assert (limit, kept) == ("budget: token limit of 30 reached", "calls in flight are kept")
    assert 30 <= int(spent) <= paused["usage"]["total_tokens"]
    assert 0 < paused["request_counts"]["completed"] < 20
    assert paused["timing"]["eta_s"] is None
    resumed = post(client, f"batches/{batch['id']}/resume", max_tokens_total=10**6)
    assert resumed.json()["pause_reason"] is None
    run(batch)
    assert read(client, batch)["request_counts"]["completed"] == 20


def test_what_a_batch_has_cost_is_told(client: Client, provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 10, "output": 20}}
    provider.save()
    batch = create(client, prompts=1, max_cost=1.5).json()
    assert (batch["max_cost"], batch["cost"]) == (1.5, 0.0)
    run(batch)
    ended = read(client, batch)
    used = ended["usage"]
    assert ended["status"] == "completed"
    assert ended["cost"] == pytest.approx(
        (10 * used["input_tokens"] + 20 * used["output_tokens"]) / 1e6
    )


def test_a_budget_in_dollars_needs_a_price(client: Client) -> None:
    error = error_of(create(client, max_cost=1), 400)
    assert error["param"] == "max_cost"
    assert "cannot be used: the price of" in error["message"]
    assert not Batch.objects.exists()


@pytest.mark.parametrize("name", ["max_cost", "max_tokens_total"])
@pytest.mark.parametrize("value", [0, -1, "much", 1e300, True])
def test_a_budget_that_is_none_is_refused(client: Client, name: str, value: Any) -> None:
    assert error_of(create(client, **{name: value}), 400)["param"] == name
    batch = create(client).json()
    resumed = post(client, f"batches/{batch['id']}/resume", **{name: value})
    assert error_of(resumed, 400)["param"] == name


def test_a_batch_says_why_its_provider_is_paused(client: Client, provider: Provider) -> None:
    batch = create(client).json()
    provider_actions.pause_provider(provider, "the bill")
    assert read(client, batch)["pause_reason"] == "manual: the bill"
    # That is not for users to end.
    assert post(client, f"batches/{batch['id']}/resume").json()["pause_reason"]
    provider_actions.resume_provider(provider)
    assert read(client, batch)["pause_reason"] is None


def test_a_batch_that_has_ended_cannot_be_resumed(client: Client) -> None:
    batch = create(client, prompts=1).json()
    run(batch)
    error = error_of(post(client, f"batches/{batch['id']}/resume"), 409)
    assert "completed" in error["message"]


def test_nobody_resumes_the_batch_of_another(client: Client) -> None:
    batch = create(client).json()
    other = client_of(user_named("bob"))
    error_of(post(other, f"batches/{batch['id']}/resume"), 404)
