"""Batches are compared over the API."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batches.models import Provider
from tests.api.calling import client_of, error_of, user_named
from tests.comparison.makers import answered_batch

ROWS = {f"r{n}": {"truth": "good" if n % 2 else "bad"} for n in range(40)}
PATH = "/v1/batches/compare"


@pytest.fixture
def user(db: None) -> User:
    return user_named("ann")


@pytest.fixture
def client(user: User) -> Client:
    return client_of(user)


@pytest.fixture
def pair(provider: Provider, user: User) -> list[str]:
    right = {key: {"label": row["truth"]} for key, row in ROWS.items()}
    return [
        answered_batch(provider, right, rows=ROWS, owner=user).public_id,
        answered_batch(provider, {key: {"label": "good"} for key in ROWS}, owner=user).public_id,
    ]


def test_batches_are_compared(client: Client, pair: list[str]) -> None:
    answer = client.get(PATH, {"ids": ",".join(pair), "truth": "label=truth"})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["rows"], said["read"]) == (40, None)
    assert [batch["batch_id"] for batch in said["batches"]] == pair
    [field] = said["fields"]
    assert (field["name"], field["truth"]["best"]) == ("label", 0)
    assert field["pairs"][0]["agreement"]["value"] == 0.5
    assert field["pairs"][0]["table"]["values"] == ["good", "bad"]


def test_batches_of_others_are_not_there(
    client: Client, provider: Provider, pair: list[str]
) -> None:
    bobs = answered_batch(provider, {"r0": {"label": "x"}}, owner=user_named("bob")).public_id
    error = error_of(client.get(PATH, {"ids": f"{pair[0]},{bobs}"}), 404)
    assert bobs in error["message"]


@pytest.mark.parametrize(
    ("ids", "truth", "reason"),
    [
        ("", "", "0 are given"),
        ("{0}", "", "1 are given"),
        ("{0},{0}", "", "name each batch once"),
        ("{0},{1},{0},{1},{0}", "", "5 are given"),
        ("{0},{1}", "label", "is not FIELD=COLUMN"),
        ("{0},{1}", "label=x", "there is no column 'x'; there are: 'truth'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    client: Client, pair: list[str], ids: str, truth: str, reason: str
) -> None:
    query = {"ids": ids.format(*pair), **({"truth": truth} if truth else {})}
    error = error_of(client.get(PATH, query), 400)
    assert error["param"] == ("truth" if truth else "ids")
    assert reason in error["message"]
