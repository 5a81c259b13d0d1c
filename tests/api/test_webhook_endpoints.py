"""/v1/webhook_endpoints: what may be asked for, by whom, and how a wrong request is answered."""

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from tests.announcing import ended
from tests.api.calling import client_of, user_named
from tests.configuring import configure
from tests.makers import batch_of
from tests.receivers import is_signed_with, receiving, url_of
from tests.scripted_server import answer, closed_port, hangs

pytestmark = pytest.mark.django_db

NEW = {
    "name": "production",
    "url": "https://example.com/hook",
    "event_types": ["batch.completed", "batch.failed"],
}


class Caller:
    """A user with a token, at the API."""

    def __init__(self, name: str) -> None:
        self.user = user_named(name)
        self._client = client_of(self.user)

    def get(self, path: str) -> tuple[int, Any]:
        response = self._client.get(f"/v1/{path}")
        return response.status_code, response.json()

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        response = self._client.post(f"/v1/{path}", body or {}, content_type="application/json")
        return response.status_code, response.json()

    def delete(self, path: str) -> tuple[int, Any]:
        response = self._client.delete(f"/v1/{path}")
        return response.status_code, response.json()

    def made(self, **changes: Any) -> dict[str, Any]:
        status, endpoint = self.post("webhook_endpoints", {**NEW, **changes})
        assert status == 200, endpoint
        return dict(endpoint)


@pytest.fixture
def ann() -> Caller:
    return Caller("ann")


def test_an_endpoint_shows_its_secret_when_it_is_made_and_never_again(ann: Caller) -> None:
    made = ann.made()
    assert made["id"].startswith("we_")
    secret = made.pop("signing_secret")
    assert secret.startswith("whsec_")
    assert made["signing_secret_hint"] == f"whsec_...{secret[-4:]}"
    assert {name: made[name] for name in NEW} == NEW
    assert made["created_at"] == made["updated_at"] > 1_700_000_000
    assert ann.get(f"webhook_endpoints/{made['id']}") == (200, made)
    status, page = ann.get("webhook_endpoints")
    assert status == 200
    assert page["data"] == [made]


def test_an_endpoint_is_changed_in_what_is_given(ann: Caller) -> None:
    made = ann.made()
    path = f"webhook_endpoints/{made['id']}"
    status, changed = ann.post(path, {"name": "renamed"})
    assert (status, changed["name"], changed["url"]) == (200, "renamed", NEW["url"])
    status, changed = ann.post(
        path, {"url": "https://example.org/", "event_types": ["batch.failed"]}
    )
    assert (changed["name"], changed["url"]) == ("renamed", "https://example.org/")
    assert changed["event_types"] == ["batch.failed"]
    assert ann.post(path) == (200, changed)


def test_a_disabled_endpoint_says_so_until_it_is_enabled(ann: Caller) -> None:
    made = ann.made()
    path = f"webhook_endpoints/{made['id']}"
    assert made["disabled_at"] is None
    status, disabled = ann.post(path, {"disabled": True})
    assert (status, disabled["disabled_at"]) == (200, disabled["updated_at"])
    assert ann.post(path, {"disabled": True}) == (200, disabled)
    assert ann.post(path, {"name": "renamed"})[1]["disabled_at"] == disabled["disabled_at"]
    assert ann.get(path)[1]["disabled_at"] == disabled["disabled_at"]
    status, enabled = ann.post(path, {"disabled": False})
    assert (status, enabled["disabled_at"]) == (200, None)


def test_a_type_that_is_named_twice_is_kept_once(ann: Caller) -> None:
    made = ann.made(event_types=["batch.failed", "batch.completed", "batch.failed"])
    assert made["event_types"] == ["batch.failed", "batch.completed"]


def test_a_deleted_endpoint_is_gone(ann: Caller) -> None:
    made = ann.made()
    path = f"webhook_endpoints/{made['id']}"
    gone = {"id": made["id"], "object": "webhook_endpoint.deleted", "deleted": True}
    assert ann.delete(path) == (200, gone)
    assert ann.get(path)[0] == 404
    assert ann.delete(path)[0] == 404


def test_a_rotated_secret_is_another_one(ann: Caller) -> None:
    made = ann.made()
    path = f"webhook_endpoints/{made['id']}/rotate_secret"
    secrets = {made["signing_secret"]}
    for body in ({}, {"keep_old_secret_active_for_24_hours": True}):
        status, rotated = ann.post(path, body)
        assert (status, rotated["id"]) == (200, made["id"])
        secrets.add(rotated["signing_secret"])
    assert len(secrets) == 3


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": 1}, "name"),
    ({"name": None}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"url": ""}, "url"),
    ({"url": "example.com"}, "url"),
    ({"url": "http://example.com/hook"}, "url"),
    ({"url": "https://user:secret@example.com/"}, "url"),
    ({"url": "https://10.0.0.1/"}, "url"),
    ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
    ({"url": "https://example.com/" + "x" * 500}, "url"),
    ({"url": ["https://example.com"]}, "url"),
    ({"event_types": []}, "event_types"),
    ({"event_types": "batch.completed"}, "event_types"),
    ({"event_types": ["batch.completed", "response.completed"]}, "event_types[1]"),
    ({"event_types": ["batch.started"]}, "event_types[0]"),
    ({"event_types": [1]}, "event_types[0]"),
    ({"owner": 1}, "owner"),
    ({"secret": "whsec_x"}, "secret"),
    ({"signing_secret": "whsec_x"}, "signing_secret"),
    ({"id": "we_1"}, "id"),
]


@pytest.mark.parametrize(("change", "param"), WRONG)
def test_a_wrong_endpoint_is_refused_with_the_parameter_at_fault(
    ann: Caller, change: dict[str, Any], param: str
) -> None:
    status, body = ann.post("webhook_endpoints", {**NEW, **change})
    assert status == 400
    assert (body["error"]["param"] or "") == param
    assert "secret@" not in str(body)
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(("change", "param"), [row for row in WRONG if row[0] != {"name": None}])
def test_a_wrong_change_is_refused_and_changes_nothing(
    ann: Caller, change: dict[str, Any], param: str
) -> None:
    made = ann.made()
    status, body = ann.post(f"webhook_endpoints/{made['id']}", {"name": "other", **change})
    assert status == 400
    assert (body["error"]["param"] or "") == param
    assert WebhookEndpoint.objects.get().name == "production"


@pytest.mark.parametrize("missing", NEW)
def test_a_missing_parameter_is_named(ann: Caller, missing: str) -> None:
    body = {name: value for name, value in NEW.items() if name != missing}
    status, answered = ann.post("webhook_endpoints", body)
    assert status == 400
    assert answered["error"]["code"] == "missing_required_parameter"
    assert answered["error"]["param"] == missing


def test_too_many_endpoints_are_a_conflict(ann: Caller, settings: Settings) -> None:
    configure(settings, MAX_WEBHOOK_ENDPOINTS_PER_USER=1)
    ann.made()
    status, body = ann.post("webhook_endpoints", NEW)
    assert status == 409
    assert "delete one first" in body["error"]["message"]


def test_endpoints_come_in_pages_the_newest_first(ann: Caller) -> None:
    ids = [ann.made()["id"] for _ in range(5)]
    seen: list[str] = []
    after = ""
    while True:
        _, page = ann.get(f"webhook_endpoints?limit=2{after}")
        seen += [endpoint["id"] for endpoint in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == ids[::-1]


def test_nobody_else_knows_of_an_endpoint(ann: Caller) -> None:
    made = ann.made()
    bob = Caller("bob")
    path = f"webhook_endpoints/{made['id']}"
    calls = [
        bob.get(path),
        bob.post(path, {"name": "mine"}),
        bob.delete(path),
        bob.post(f"{path}/rotate_secret"),
        bob.post(f"{path}/test", {"event_type": "batch.completed"}),
        bob.get(f"{path}/deliveries"),
    ]
    unknown = bob.get("webhook_endpoints/we_0")
    for status, body in calls:
        assert status == 404
        message = body["error"]["message"].replace(made["id"], "we_0")
        assert message == unknown[1]["error"]["message"]
    assert bob.get("webhook_endpoints")[1]["data"] == []
    assert bob.get(f"webhook_endpoints?after={made['id']}")[0] == 400
    assert ann.get(path)[1]["name"] == "production"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "webhook_endpoints"),
        ("post", "webhook_endpoints"),
        ("get", "webhook_endpoints/we_0"),
        ("post", "webhook_endpoints/we_0/rotate_secret"),
        ("post", "webhook_endpoints/we_0/test"),
        ("get", "webhook_endpoints/we_0/deliveries"),
        ("get", "webhook_event_types"),
    ],
)
def test_without_a_token_there_is_nothing(method: str, path: str) -> None:
    assert getattr(Client(), method)(f"/v1/{path}").status_code == 401


@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_sample_is_sent_at_once_and_its_status_told(ann: Caller, status: int) -> None:
    with receiving(answer(b"", status=status)) as server:
        made = ann.made(url=url_of(server))
        told = ann.post(f"webhook_endpoints/{made['id']}/test", {"event_type": "batch.failed"})
    assert told == (
        200,
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": made["id"],
            "event_type": "batch.failed",
            "status_code": status,
            "success": True,
        },
    )
    [request] = server.requests
    assert is_signed_with(request, made["signing_secret"])
    # A sample is not an event: it is not repeated, and not in the log.
    assert not WebhookDelivery.objects.exists()


def test_a_sample_that_nobody_takes_is_an_error(ann: Caller) -> None:
    made = ann.made(url=f"http://127.0.0.1:{closed_port()}/")
    path = f"webhook_endpoints/{made['id']}/test"
    status, body = ann.post(path, {"event_type": "batch.failed"})
    assert status == 400
    assert body["error"]["code"] == "webhook_endpoint_unreachable"


def test_a_sample_that_nobody_answers_is_an_error(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batches.webhooks.client.DEADLINE_S", 0.3)
    with receiving(hangs()) as server:
        made = ann.made(url=url_of(server))
        path = f"webhook_endpoints/{made['id']}/test"
        status, body = ann.post(path, {"event_type": "batch.failed"})
    assert status == 400
    assert "no answer within" in body["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"event_type": "response.completed"}, {"event_type": None}])
def test_a_sample_of_what_there_is_not_is_refused(ann: Caller, body: dict[str, Any]) -> None:
    made = ann.made()
    status, answered = ann.post(f"webhook_endpoints/{made['id']}/test", body)
    assert (status, answered["error"]["param"]) == (400, "event_type")


def test_the_log_tells_what_became_of_each_event(ann: Caller, provider: Provider) -> None:
    made = ann.made()
    batch = batch_of(provider, 1)
    Batch.objects.update(owner=ann.user)
    for target in (BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.COMPLETED):
        ended(batch, target)
    WebhookDelivery.objects.filter(event_type="batch.failed").update(
        attempts=3, status="failed", status_code=500, error="why"
    )
    path = f"webhook_endpoints/{made['id']}/deliveries"
    status, page = ann.get(f"{path}?limit=2")
    assert status == 200
    waiting, failed = page["data"]
    assert failed["batch_id"] == batch.public_id
    assert (failed["status"], failed["attempts"], failed["status_code"]) == ("failed", 3, 500)
    assert (failed["error"], failed["next_attempt_at"]) == ("why", None)
    assert (waiting["status"], waiting["event_type"]) == ("pending", "batch.completed")
    assert waiting["next_attempt_at"] > 0
    assert page["has_more"] is True
    _, rest = ann.get(f"{path}?after={page['last_id']}")
    assert len(rest["data"]) == 1
    assert rest["has_more"] is False


def test_the_event_types_are_listed(ann: Caller) -> None:
    status, listed = ann.get("webhook_event_types")
    assert status == 200
    assert listed["object"] == "list"
    assert set(listed["data"]) == {
        *("batch.completed", "batch.failed", "batch.expired", "batch.cancelled")
    }
