"""Lists over the API: their order, their pages, and how much of each thing they show."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.engine.text.wording import quoted
from batches.lifecycle import BatchStatus
from batches.models import Batch
from tests.api.calling import client_of, error_of
from tests.api.test_batches import created, get, inline, run
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

MADE_AT = 1_790_000_000


def test_the_list_is_newest_first_and_paged(client: Client) -> None:
    ids = [created(client, inline(1))["id"] for _ in range(5)][::-1]
    first = get(client, "batches?limit=2")
    assert [item["id"] for item in first["data"]] == ids[:2]
    assert first["has_more"]
    second = get(client, f"batches?limit=3&after={first['last_id']}")
    assert [item["id"] for item in second["data"]] == ids[2:]
    assert not second["has_more"]
    for query in ("limit=0", "limit=101", "after=batch_nope"):
        error_of(client.get(f"/v1/batches?{query}"), 400)


@pytest.mark.parametrize("kind", ["batches", "files"])
def test_a_list_does_not_go_on_after_what_was_deleted_or_is_not_mine(
    client: Client, kind: str
) -> None:
    other = client_of()
    for asking in (client, client, client, other):
        run(created(asking, inline(1)))
    ids = [item["id"] for item in get(client, kind)["data"]]
    [stranger] = [item["id"] for item in get(other, kind)["data"]]
    gone = ids[1]
    assert client.delete(f"/v1/{kind}/{gone}").status_code == 200
    for after in (gone, stranger):
        error = error_of(client.get(f"/v1/{kind}?limit=1&after={after}"), 400)
        assert (error["code"], error["param"]) == ("invalid_value", "after")
        assert "Start again without 'after'" in error["message"]
    rest = get(client, f"{kind}?after={ids[0]}")
    assert [item["id"] for item in rest["data"]] == ids[2:]


def test_the_list_reads_and_shows_the_first_errors_of_each(client: Client, user: User) -> None:
    few, many = (created(client, inline()) for _ in range(2))
    errors = [{"code": "x", "message": str(n), "param": None, "line": n} for n in range(10_000)]
    Batch.objects.filter(public_id=few["id"]).update(errors=errors[:10])
    Batch.objects.filter(public_id=many["id"]).update(errors=errors)
    none = created(client, inline())
    Batch.objects.filter(public_id=none["id"]).update(model="123")
    tracemalloc.start()
    try:
        listed = {batch["id"]: batch for batch in get(client, "batches")["data"]}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(json.dumps(errors))
    assert (listed[none["id"]]["errors"], listed[none["id"]]["model"]) == (None, "123")
    for batch, has_more in ((few, False), (many, True)):
        found = listed[batch["id"]]["errors"]
        assert (found["data"], found["has_more"]) == (errors[:10], has_more)
        assert listed[batch["id"]]["model"] == MODEL
    assert get(client, f"batches/{many['id']}")["errors"]["data"] == errors


# -- Filters of the list of batches

STATUSES = [str(status) for status in BatchStatus]


@pytest.fixture
def ids(client: Client) -> dict[str, str]:
    """A batch in every status, each created a minute after the one before."""
    made = {}
    for number, status in enumerate(STATUSES):
        batch = created(client, inline(1))["id"]
        at = datetime.fromtimestamp(MADE_AT + 60 * number, tz=UTC) + timedelta(milliseconds=700)
        Batch.objects.filter(public_id=batch).update(status=status, created_at=at)
        made[status] = batch
    return made


def listed(client: Client, query: str) -> list[str]:
    return [item["id"] for item in get(client, f"batches?{query}")["data"]]


@pytest.mark.parametrize("name", ["status", "status[]"])
def test_a_list_is_of_the_statuses_that_are_asked_for(
    client: Client, ids: dict[str, str], name: str
) -> None:
    for status in STATUSES:
        assert listed(client, f"{name}={status}") == [ids[status]]
    several = listed(client, f"{name}=failed&{name}=completed&{name}=failed")
    assert sorted(several) == sorted([ids["completed"], ids["failed"]])
    assert len(listed(client, "")) == len(STATUSES)


def test_a_list_is_of_the_times_that_are_asked_for(client: Client, ids: dict[str, str]) -> None:
    newest = list(ids.values())[::-1]
    for number in range(len(STATUSES)):
        at = MADE_AT + 60 * number
        mine = len(STATUSES) - 1 - number
        assert listed(client, f"created_after={at}") == newest[:mine]
        assert listed(client, f"created_after={at - 1}") == newest[: mine + 1]
        assert listed(client, f"created_before={at}") == newest[mine + 1 :]
        assert listed(client, f"created_before={at + 1}") == newest[mine:]
        assert listed(client, f"created_after={at - 1}&created_before={at + 1}") == [newest[mine]]
    assert listed(client, f"created_after={MADE_AT}&created_before=0") == []


def test_pages_of_a_filtered_list_go_on_after_a_batch_that_has_left_it(
    client: Client, ids: dict[str, str]
) -> None:
    query = "status=in_progress&status=completed&status=failed&limit=1"
    first = get(client, f"batches?{query}")
    assert first["has_more"]
    [seen] = [item["id"] for item in first["data"]]
    Batch.objects.filter(public_id=seen).update(status="cancelled")
    rest, after = [], first["last_id"]
    while after:
        page = get(client, f"batches?{query}&after={after}")
        rest += [item["id"] for item in page["data"]]
        after = page["last_id"] if page["has_more"] else None
    wanted = [ids[name] for name in ("completed", "in_progress", "failed")]
    assert sorted([seen, *rest]) == sorted(wanted)


WRONG_FILTERS = [
    *(("status", value) for value in ("done", "", "COMPLETED", "completed,failed", "x" * 5000)),
    *(("status", value) for value in ("\0", "\u212bngstrom", "completed ")),
    *(
        (name, value)
        for name in ("created_after", "created_before")
        for value in ("", "yesterday", "-1", "1.5", "1e9", " 1", "\u0661", "9" * 400, "2026-11-28")
    ),
]


@pytest.mark.parametrize(("name", "value"), WRONG_FILTERS)
def test_a_filter_that_means_nothing_is_refused_by_name_and_value(
    client: Client, name: str, value: str
) -> None:
    error = error_of(client.get("/v1/batches", {name: value}), 400)
    assert (error["code"], error["param"]) == ("invalid_value", name)
    assert quoted(value) in error["message"]
    allowed = ["'validating'", "'cancelled'"] if name == "status" else ["Unix time", "0 to"]
    assert all(word in error["message"] for word in allowed)
    assert len(error["message"]) < 500


def test_a_filter_shows_no_batch_of_others(client: Client, ids: dict[str, str]) -> None:
    stranger = client_of()
    for status in STATUSES:
        assert listed(stranger, f"status={status}") == []
