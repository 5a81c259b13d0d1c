"""Answers that are used again, over the API."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.models import Batch, Provider
from batches.runner.run import run_slice
from tests.api.calling import client_of, error_of, user_named
from tests.makers import MODEL


@pytest.fixture
def user(db: None) -> User:
    return user_named("ann")


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    provider.prices = {MODEL: {"input": 10, "output": 20}}
    provider.save()
    return client_of(user)


def create(client: Client, prompts: list[str], **options: Any) -> Any:
    body = {"prompts": prompts, "body": {"model": MODEL}, **options}
    return client.post("/v1/batches", body, content_type="application/json")


def ended(client: Client, prompts: list[str], **options: Any) -> Any:
    created = create(client, prompts, **options).json()
    run_slice(Batch.objects.get(public_id=created["id"]).pk)
    return client.get(f"/v1/batches/{created['id']}").json()


def test_a_batch_says_what_was_used_again_and_what_it_saved(client: Client) -> None:
    batch = ended(client, ["a", "b", "a", "a"], reuse="batch")
    assert batch["status"] == "completed"
    assert batch["reuse"] == "batch"
    assert batch["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    plain = ended(client, ["a", "b", "a", "a"])
    reused = batch["reused"]
    assert reused["answers"] == 2
    for name in ("input_tokens", "output_tokens"):
        assert reused[name] + batch["usage"][name] == plain["usage"][name]
    assert reused["cost"] + batch["cost"] == pytest.approx(plain["cost"])
    assert (plain["reuse"], plain["reused"]) == ("off", None)


def test_results_and_lines_say_where_an_answer_is_from(client: Client) -> None:
    first = ended(client, ["a"], reuse="owner")
    second = ended(client, ["b", "a", "b"], reuse="owner")
    results = client.get(f"/v1/batches/{second['id']}/results").json()["data"]
    origins = [
        None,
        {"batch_id": first["id"], "custom_id": "line-1"},
        {"batch_id": second["id"], "custom_id": "line-1"},
    ]
    assert [result["reused_from"] for result in results] == origins
    assert [result["is_reused"] for result in results] == [False, True, True]
    content = client.get(f"/v1/files/{second['output_file_id']}/content")
    lines = [json.loads(line) for line in b"".join(content).splitlines()]
    assert [line.get("reused_from") for line in lines] == origins
    assert "reused_from" not in lines[0]
    client.delete(f"/v1/batches/{first['id']}")
    results = client.get(f"/v1/batches/{second['id']}/results").json()["data"]
    assert (results[1]["is_reused"], results[1]["reused_from"]) == (True, None)


def test_no_answer_of_another_user_is_used(client: Client) -> None:
    ended(client, ["a"], reuse="owner")
    batch = ended(client_of(user_named("ben")), ["a"], reuse="owner")
    assert batch["reused"]["answers"] == 0


def test_another_value_is_refused_with_the_known_ones(client: Client) -> None:
    error = error_of(create(client, ["a"], reuse="always"), 400)
    assert error["param"] == "reuse"
    assert "'off'" in error["message"]
    assert "'owner'" in error["message"]
