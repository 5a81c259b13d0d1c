"""Stronger models for the failed answers of a batch, over the API."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.engine.endpoints import CHAT
from batches.engine.prepare import with_response_schema
from batches.engine.records import USUAL_KINDS
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from tests.api.calling import client_of, error_of, user_named
from tests.makers import MODEL
from tests.runner.test_escalation import LARGE, PRICES, TOP, bad
from tests.runner.test_structured_output import SCHEMA

BODY = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=SCHEMA)


@pytest.fixture
def user(db: None) -> User:
    return user_named("ann")


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    provider.prices = PRICES
    provider.save()
    return client_of(user)


def create(client: Client, prompts: list[str], **options: Any) -> Any:
    body = {"prompts": prompts, "body": BODY, "max_repair_attempts": 0, **options}
    return client.post("/v1/batches", body, content_type="application/json")


def read(client: Client, batch: dict[str, Any]) -> Any:
    return client.get(f"/v1/batches/{batch['id']}").json()


def test_a_batch_says_how_many_prompts_were_escalated(client: Client) -> None:
    steps = [{"model": LARGE}, {"model": TOP, "when": ["refusal", "refusal"]}]
    prompts = [
        "a",
        f"b {bad(MODEL)}",
        f"c {bad(MODEL)} {bad(LARGE, form='refusal')}",
        f"d {bad(MODEL, LARGE)}",
    ]
    batch = create(client, prompts, escalate=steps).json()
    shown = [
        {"model": LARGE, "when": sorted(USUAL_KINDS)},
        {"model": TOP, "when": ["refusal"]},
    ]
    assert (batch["escalate"], batch["escalated"]) == (shown, None)
    run_slice(Batch.objects.get(public_id=batch["id"]).pk)
    batch = read(client, batch)
    assert batch["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
    assert batch["escalated"] == {"prompts": 3, "succeeded": 2}
    [listed] = client.get("/v1/batches").json()["data"]
    assert (listed["escalate"], listed["escalated"]) == (shown, batch["escalated"])
    results = client.get(f"/v1/batches/{batch['id']}/results").json()["data"]
    asked = [
        [(one["model"], one["kind"], one["calls"]) for one in result["escalation"] or ()]
        for result in results
    ]
    assert asked == [
        [],
        [(MODEL, "not_json", 1), (LARGE, None, 1)],
        [(MODEL, "not_json", 1), (LARGE, "refusal", 1), (TOP, None, 1)],
        [(MODEL, "not_json", 1), (LARGE, "not_json", 1)],
    ]
    assert results[0]["escalation"] is None
    for result in results[1:]:
        usages = [one["usage"] for one in result["escalation"]]
        for name in ("input_tokens", "output_tokens"):
            assert sum(usage[name] for usage in usages) == result["usage"][name]
    assert results[2]["response"]["body"]["model"] == TOP
    assert (
        sum(result["usage"]["input_tokens"] for result in results)
        == (batch["usage"]["input_tokens"])
    )


def test_lines_of_the_output_have_the_same_fields(client: Client) -> None:
    for prompt in ("a", f"a {bad(MODEL)}"):
        batch = create(client, [prompt], escalate=[{"model": LARGE}]).json()
        run_slice(Batch.objects.get(public_id=batch["id"]).pk)
        content = client.get(f"/v1/files/{read(client, batch)['output_file_id']}/content")
        [line] = [json.loads(line) for line in b"".join(content).splitlines()]
        assert line.keys() == {"id", "custom_id", "response", "error", "parsed", "rung"}


def test_a_batch_without_stronger_models_says_nothing_of_them(client: Client) -> None:
    given: list[dict[str, Any]] = [{}, {"escalate": None}, {"escalate": []}]
    for options in given:
        batch = create(client, ["a"], **options).json()
        run_slice(Batch.objects.get(public_id=batch["id"]).pk)
        batch = read(client, batch)
        assert (batch["escalate"], batch["escalated"]) == (None, None)


@pytest.mark.parametrize(
    ("escalate", "param", "says"),
    [
        ("strong", "escalate", "expected an array, but got the string 'strong'"),
        (["strong"], "escalate[0]", "expected an object, but got the string 'strong'"),
        ([{}], "escalate[0].model", "Missing required parameter: 'escalate[0].model'"),
        ([{"model": ""}], "escalate[0].model", "an empty string"),
        ([{"model": "a\0"}], "escalate[0].model", "NUL"),
        ([{"model": "a", "when": []}], "escalate[0].when", "at least 1 item."),
        (
            [{"model": "a"}, {"model": "b", "when": ["refusal", "timeout"]}],
            "escalate[1].when[1]",
            "'timeout'. Supported values are: 'schema_violation', 'not_json', 'refusal'",
        ),
        ([{"model": "a", "wen": []}], "escalate[0]", "no 'wen'. Did you mean 'when'?"),
        ([{"model": f"m{n}"} for n in range(4)], "escalate", "at most 3 items"),
        ([{"model": MODEL}], "escalate[0].model", "is asked before already"),
        ([{"model": "a"}, {"model": "a"}], "escalate[1].model", "is asked before already"),
    ],
)
def test_steps_that_cannot_be_are_refused_with_place_and_remedy(
    client: Client, escalate: Any, param: str, says: str
) -> None:
    error = error_of(create(client, ["a"], escalate=escalate), 400)
    assert (error["param"], error["code"] != "") == (param, True)
    assert param in error["message"]
    assert says in error["message"]
    assert error["message"].endswith((".", "?"))
    assert not Batch.objects.exists()


def test_a_model_that_the_provider_does_not_list_is_refused(
    client: Client, provider: Provider
) -> None:
    provider.model_names = [MODEL, TOP]
    provider.save()
    error = error_of(create(client, ["a"], escalate=[{"model": TOP}, {"model": LARGE}]), 400)
    assert (error["param"], error["code"]) == ("escalate[1].model", "model_not_found")
    assert f"Supported values are: '{MODEL}' and '{TOP}'" in error["message"]


def test_a_budget_needs_the_prices_of_all_models(client: Client) -> None:
    error = error_of(create(client, ["a"], escalate=[{"model": "free"}], max_cost=1), 400)
    assert error["param"] == "max_cost"
    assert "the price of 'free' at provider" in error["message"]
