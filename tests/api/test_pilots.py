"""Batches with a pilot, over the API."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.intake.reading import read_input
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from tests.api.calling import client_of, error_of, user_named
from tests.api.test_templates import asked, table_of
from tests.makers import MODEL

PROMPTS = [f"prompt {number}" for number in range(20)]


@pytest.fixture
def user(db: None) -> User:
    return user_named("ann")


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    provider.prices = {MODEL: {"input": 10, "output": 20}}
    provider.save()
    return client_of(user)


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/v1/{path}", body, content_type="application/json")


def create(client: Client, **options: Any) -> Any:
    return post(client, "batches", prompts=PROMPTS, body={"model": MODEL}, **options)


def run(batch: dict[str, Any]) -> None:
    run_slice(Batch.objects.get(public_id=batch["id"]).pk)


def read(client: Client, batch: dict[str, Any]) -> Any:
    return client.get(f"/v1/batches/{batch['id']}").json()


def test_a_pilot_runs_shows_its_report_and_goes_on(client: Client) -> None:
    batch = create(client, pilot={"rows": 4}).json()
    begun = {"rows": 4, "by": None, "continue_when": None, "status": "running", "report": None}
    assert batch["pilot"] == begun
    assert read(client, batch)["pilot"] == begun
    run(batch)
    paused = read(client, batch)
    assert paused["pause_reason"].startswith("pilot of 4 prompts done: 0 failed, about $")
    assert paused["pilot"]["status"] == "done"
    report = paused["pilot"]["report"]
    assert (report["prompts"], report["failed"], report["failures"]) == (4, 0, {})
    assert report["cost"]["low"] < report["cost"]["likely"] < report["cost"]["high"]
    assert report["cost"]["likely"] == pytest.approx(5 * paused["cost"])
    assert paused["timing"]["eta_s"] is None
    [listed] = client.get("/v1/batches").json()["data"]
    assert listed["pilot"] == {**paused["pilot"], "report": None}
    resumed = post(client, f"batches/{batch['id']}/resume").json()
    assert (resumed["pause_reason"], resumed["pilot"]["status"]) == (None, "passed")
    run(batch)
    ended = read(client, batch)
    assert ended["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert ended["pilot"]["report"]["tokens"] == report["tokens"]


def test_a_pilot_whose_rules_hold_goes_on(client: Client) -> None:
    rules = {"max_failed": 0.5, "max_cost_per_row": 1.0}
    batch = create(client, pilot={"rows": 4, "continue_when": rules}).json()
    run(batch)
    after = read(client, batch)
    assert (after["pause_reason"], after["pilot"]["status"]) == (None, "passed")
    assert after["pilot"]["continue_when"] == rules


def test_a_batch_that_was_cancelled_at_its_gate_never_passed_it(client: Client) -> None:
    batch = create(client, pilot={"rows": 4}).json()
    run(batch)
    post(client, f"batches/{batch['id']}/cancel")
    cancelled = read(client, batch)
    assert cancelled["status"] == "cancelled"
    assert cancelled["pilot"]["status"] == "done"
    assert cancelled["pilot"]["report"]["prompts"] == 4


def test_the_failed_prompts_of_a_pilot_are_retried(client: Client) -> None:
    texts = [f"{text} [simulate: status=500 times=1]" for text in PROMPTS]
    options = {"prompts": texts, "body": {"model": MODEL}, "max_attempts": 1}
    batch = post(client, "batches", pilot={"rows": 4}, **options).json()
    run(batch)
    assert read(client, batch)["request_counts"]["failed"] == 4
    retried = post(client, f"batches/{batch['id']}/retry").json()
    assert (retried["pause_reason"], retried["pilot"]["status"]) == (None, "running")
    run(batch)
    again = read(client, batch)
    assert again["pilot"]["status"] == "done"
    assert again["request_counts"] == {"total": 20, "completed": 4, "failed": 0}


@pytest.mark.parametrize("rows", [20, 21, 10**6])
def test_a_pilot_of_all_prompts_has_no_gate(client: Client, rows: int) -> None:
    batch = create(client, pilot={"rows": rows}).json()
    assert read(client, batch)["pilot"]["status"] == "passed"
    run(batch)
    assert read(client, batch)["status"] == "completed"


def test_a_batch_without_a_pilot_has_none(client: Client) -> None:
    batch = create(client).json()
    assert batch["pilot"] is None
    assert read(client, batch)["pilot"] is None
    assert read(client, create(client, pilot=None).json())["pilot"] is None


@pytest.mark.parametrize(
    ("pilot", "param", "words"),
    [
        (50, "pilot", "an object"),
        ({}, "pilot.rows", "Missing required parameter: 'pilot.rows'"),
        ({"rows": 0}, "pilot.rows", "a number of at least 1"),
        ({"rows": -1}, "pilot.rows", "a number of at least 1"),
        ({"rows": 10**12}, "pilot.rows", "a number of at most"),
        ({"rows": 2.5}, "pilot.rows", "an integer"),
        ({"rows": "50"}, "pilot.rows", "an integer"),
        ({"rows": True}, "pilot.rows", "an integer"),
        ({"row": 5}, "pilot", "There is no 'row'. Did you mean 'rows'?"),
        ({"rows": 5, "continue_when": []}, "pilot.continue_when", "an object"),
        ({"rows": 5, "continue_when": {"max_failed": 2}}, "pilot.continue_when.max_failed", "1"),
        (
            {"rows": 5, "continue_when": {"max_fail": 0.1}},
            "pilot.continue_when",
            "There is no 'max_fail'. Did you mean 'max_failed'? Known are 'max_failed'",
        ),
    ],
)
def test_other_pilots_are_refused_with_their_place(
    client: Client, pilot: Any, param: str, words: str
) -> None:
    error = error_of(create(client, pilot=pilot), 400)
    assert error["param"] == param
    assert words in error["message"]
    assert not Batch.objects.exists()


def test_a_bound_in_dollars_needs_a_price(client: Client, provider: Provider) -> None:
    Provider.objects.update(prices={})
    rules = {"max_cost_per_row": 1}
    error = error_of(create(client, pilot={"rows": 5, "continue_when": rules}), 400)
    assert error["param"] == "pilot"
    assert "max_cost_per_row cannot be used: the price of" in error["message"]


RULES = {"max_failed": 0.05}


def test_rules_pause_a_batch_and_a_resume_may_change_them(client: Client) -> None:
    texts = [f"{n} {'[simulate: status=400]' if n % 2 else ''}" for n in range(60)]
    body = {"model": MODEL}
    options = {"prompts": texts, "body": body, "batch_size": 5, "stop_when": RULES}
    batch = post(client, "batches", **options).json()
    assert batch["stop_when"] == RULES
    run(batch)
    paused = read(client, batch)
    assert paused["pause_reason"].startswith("rule: ")
    resumed = post(client, f"batches/{batch['id']}/resume").json()
    assert (resumed["pause_reason"], resumed["stop_when"]) == (None, RULES)
    run(batch)
    assert read(client, batch)["request_counts"] == paused["request_counts"]
    other = post(client, f"batches/{batch['id']}/resume", stop_when={"max_failed": 0.9}).json()
    assert other["stop_when"] == {"max_failed": 0.9}
    gone = post(client, f"batches/{batch['id']}/resume", stop_when=None).json()
    assert gone["stop_when"] is None
    run(batch)
    assert read(client, batch)["status"] == "completed"


@pytest.mark.parametrize(
    ("rules", "param", "words"),
    [
        ([], "stop_when", "an object"),
        ("max_failed=1", "stop_when", "an object"),
        ({"max_failed": -0.1}, "stop_when.max_failed", "a number of at least 0"),
        ({"max_failed": "0.1"}, "stop_when.max_failed", "a number"),
        ({"max_cost_per_row": 1e9}, "stop_when.max_cost_per_row", "a number of at most"),
        ({"cost": 1}, "stop_when", "There is no 'cost'."),
    ],
)
def test_other_rules_are_refused_with_their_place(
    client: Client, rules: Any, param: str, words: str
) -> None:
    error = error_of(create(client, stop_when=rules), 400)
    assert error["param"] == param
    assert words in error["message"]
    batch = create(client).json()
    error = error_of(post(client, f"batches/{batch['id']}/resume", stop_when=rules), 400)
    assert error["param"] == param


def test_a_pilot_by_a_column_has_each_of_its_values(client: Client, user: User) -> None:
    table = "review,country\n" + "".join(f"r{n},{'de' if n % 10 else 'at'}\n" for n in range(40))
    made = asked(table_of(user, table))
    batch = post(client, "batches", **made, pilot={"rows": 5, "by": "country"}).json()
    stored = Batch.objects.get(public_id=batch["id"])
    read_input(stored.pk, stop=StopSignal())
    run(batch)
    paused = read(client, batch)
    assert (paused["pilot"]["by"], paused["pilot"]["status"]) == ("country", "done")
    assert paused["pilot"]["report"]["prompts"] == 5
    rows = stored.results.values_list("prompt__row", flat=True)
    assert sorted(json.loads(row or "")["country"] for row in rows) == [
        "at",
        "de",
        "de",
        "de",
        "de",
    ]
    # With another column, the input is refused.
    wrong = post(client, "batches", **made, pilot={"rows": 5, "by": "contry"}).json()
    read_input(Batch.objects.get(public_id=wrong["id"]).pk, stop=StopSignal())
    [error] = read(client, wrong)["errors"]["data"]
    assert (error["param"], "country" in error["message"]) == ("pilot.by", True)


@pytest.mark.parametrize(
    ("pilot", "param"),
    [
        ({"rows": 5, "by": "x"}, "pilot.by"),
        ({"rows": 5000, "by": "x"}, "pilot.by"),
        ({"rows": 5, "by": ""}, "pilot.by"),
        ({"rows": 5, "by": "a\0"}, "pilot.by"),
    ],
)
def test_a_column_needs_a_table_and_few_rows(
    client: Client, pilot: dict[str, Any], param: str
) -> None:
    answer = create(client, pilot=pilot)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
