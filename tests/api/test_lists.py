"""Lists over the API: their order, their pages, and how much of each thing they show."""

import json
import tracemalloc

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.models import Batch, Provider
from tests.api.calling import client_of, error_of, user_named
from tests.api.test_batches import created, get, inline, run
from tests.makers import MODEL

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(db: None) -> User:
    return user_named()


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    return client_of(user)


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
        assert "begin without 'after'" in error["message"]
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
