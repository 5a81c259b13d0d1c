"""The callback URL of a batch: told of that batch alone, signed, as safely as any webhook."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from openai import OpenAI
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.ending.finishing import finish_batch
from batches.intake.reading import read_input
from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from batches.runner.run import run_slice
from batches.secrets.encryption import encrypt
from batches.stop_signal import StopSignal
from batches.webhooks.deliveries import deliver, sweep_deliveries
from tests.announcing import ended, make_due, rings, subscribed, the_delivery
from tests.api.calling import client_of, error_of, user_named
from tests.configuring import configure
from tests.makers import MODEL
from tests.receivers import is_signed_with, receiving, url_of
from tests.scripted_server import answer, closed_port

pytestmark = pytest.mark.django_db

URL = "https://example.com/hooks/batch?job=7"


@pytest.fixture
def user(db: None) -> User:
    return user_named()


@pytest.fixture
def client(user: User, provider: Provider) -> Client:
    return client_of(user)


def asked(url: str | None = URL, **more: Any) -> dict[str, Any]:
    return {"prompts": ["a"], "body": {"model": MODEL}, "callback_url": url, **more}


def post(client: Client, body: dict[str, Any]) -> Any:
    return client.post("/v1/batches", body, content_type="application/json")


def made(client: Client, body: dict[str, Any]) -> tuple[Batch, dict[str, Any]]:
    reply = post(client, body)
    assert reply.status_code == 200, reply.content
    shown: dict[str, Any] = reply.json()
    return Batch.objects.get(public_id=shown["id"]), shown


def deliver_all() -> None:
    for pk in WebhookDelivery.objects.due().values_list("pk", flat=True):
        deliver(pk)


# -- What the callback is told


def test_the_official_client_accepts_what_a_callback_is_told(client: Client) -> None:
    with receiving(answer(b"", status=204)) as server:
        batch, shown = made(client, asked(url_of(server)))
        assert run_slice(batch.pk).ended
        deliver_all()
    [request] = server.requests
    checking = OpenAI(api_key="-", webhook_secret=shown["callback_secret"])
    event = checking.webhooks.unwrap(request.body, dict(request.headers))
    assert (event.type, event.data.id) == ("batch.completed", batch.public_id)  # type: ignore[union-attr]  # of a batch
    assert set(json.loads(request.body)) == {"id", "object", "created_at", "type", "data"}


@pytest.mark.parametrize(
    "target",
    [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED],
)
def test_a_callback_is_told_of_each_end_of_its_batch_and_of_nothing_else(
    client: Client, user: User, target: BatchStatus
) -> None:
    batch, _ = made(client, asked())
    others = [made(client, asked(None))[0], made(client, asked("https://example.com/b"))[0]]
    stranger, _ = made(client_of(), asked("https://example.com/c"))
    for one in (batch, *others, stranger):
        assert ended(one, target)
    told = WebhookDelivery.objects.filter(endpoint__url=URL)
    assert [(one.event_type, one.object_id) for one in told] == [
        (f"batch.{target}", batch.public_id)
    ]
    assert WebhookDelivery.objects.count() == 3


def test_a_standing_endpoint_and_the_callback_are_both_told_each_with_its_own_secret(
    client: Client, user: User
) -> None:
    with receiving(answer()) as server:
        standing = subscribed(user, url_of(server, "/all"))
        batch, shown = made(client, asked(url_of(server, "/one")))
        ended(batch)
        deliver_all()
        deliver_all()
    told = {request.path: request for request in server.requests}
    assert set(told) == {"/all", "/one"}
    assert is_signed_with(told["/all"], standing.secret)
    assert is_signed_with(told["/one"], shown["callback_secret"])
    assert not is_signed_with(told["/one"], standing.secret)
    assert not is_signed_with(told["/all"], shown["callback_secret"])


def test_a_batch_that_fails_as_it_is_made_tells_its_callback(client: Client) -> None:
    batch, shown = made(client, {"input_file_id": "file-none", "callback_url": URL})
    assert batch.status == "failed"
    assert shown["callback_secret"].startswith("whsec_")
    assert the_delivery().event_type == "batch.failed"


def test_a_batch_of_a_bad_file_tells_its_callback(client: Client) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    upload = SimpleUploadedFile("in.jsonl", b"{}\n")
    file = client.post("/v1/files", {"purpose": "batch", "file": upload}).json()
    batch, _ = made(client, {"input_file_id": file["id"], "callback_url": URL})
    assert not read_input(batch.pk, stop=StopSignal())
    assert the_delivery().event_type == "batch.failed"


def test_a_batch_that_runs_again_tells_its_callback_again(client: Client) -> None:
    batch, _ = made(client, asked(prompts=["[simulate: status=400]"]))
    for _ in range(2):
        assert run_slice(batch.pk).ended
        batch.refresh_from_db()
        if WebhookDelivery.objects.count() != 2:
            batch_actions.retry_batch(batch)
    events = WebhookDelivery.objects.values_list("event_id", flat=True)
    assert len(set(events)) == 2


def test_a_callback_is_tried_again_with_the_same_event(client: Client) -> None:
    with receiving(answer(status=500), answer()) as server:
        batch, shown = made(client, asked(url_of(server)))
        ended(batch)
        for _ in range(3):
            deliver_all()
            make_due()
    assert len(server.requests) == 2
    assert len({request.header("webhook-id") for request in server.requests}) == 1
    assert all(is_signed_with(one, shown["callback_secret"]) for one in server.requests)
    page = client.get(f"/v1/batches/{batch.public_id}/deliveries").json()
    [seen] = page["data"]
    assert (seen["status"], seen["attempts"], seen["batch_id"]) == ("delivered", 2, batch.public_id)
    assert error_of(client_of().get(f"/v1/batches/{batch.public_id}/deliveries"), 404)


# -- Who learns of it


def test_only_the_answer_that_creates_the_batch_has_the_secret(client: Client, user: User) -> None:
    batch, shown = made(client, asked())
    secret = shown["callback_secret"]
    staff = client_of(user_named(is_staff=True))
    for reader in (client, staff):
        for path in (f"batches/{batch.public_id}", "batches", "webhook_endpoints"):
            reply = reader.get(f"/v1/{path}")
            assert reply.status_code == 200
            assert secret not in reply.content.decode()
            assert "callback_secret" not in reply.content.decode()
    assert client.get(f"/v1/batches/{batch.public_id}").json()["callback_url"] == URL
    assert "callback_secret" not in made(client, asked(None))[1]


def test_a_callback_is_no_webhook_endpoint_of_its_user(
    client: Client, user: User, settings: Settings
) -> None:
    configure(settings, MAX_WEBHOOK_ENDPOINTS_PER_USER=1)
    made(client, asked())
    made(client, asked())
    callback = WebhookEndpoint.objects.order_by("pk").first()
    assert callback
    assert client.get("/v1/webhook_endpoints").json()["data"] == []
    for method in (client.get, client.post, client.delete):
        error_of(method(f"/v1/webhook_endpoints/{callback.public_id}"), 404)
    error_of(client.post(f"/v1/webhook_endpoints/{callback.public_id}/rotate_secret"), 404)
    assert subscribed(user).endpoint.pk


def test_callbacks_have_secrets_of_their_own(client: Client) -> None:
    secrets = {made(client, asked())[1]["callback_secret"] for _ in range(3)}
    assert len(secrets) == 3


# -- One request, one callback


def test_the_same_request_again_gives_the_same_batch_and_secret(client: Client) -> None:
    body = asked(idempotency_key="k")
    first, second = (made(client, body)[1] for _ in range(2))
    assert first["id"] == second["id"]
    assert first["callback_secret"] == second["callback_secret"]
    assert WebhookEndpoint.objects.count() == 1
    for other in (None, "https://example.com/other"):
        error = error_of(post(client, asked(other, idempotency_key="k")), 409)
        assert error["code"] == "idempotency_key_reused"


def test_a_request_that_is_refused_leaves_no_callback(client: Client) -> None:
    error_of(post(client, asked(body={})), 400)
    error_of(post(client, asked(prompts=None, requests=[{"custom_id": "a", "prompt": 7}])), 400)
    assert not WebhookEndpoint.objects.exists()


def test_a_callback_goes_with_its_batch(client: Client) -> None:
    batch, _ = made(client, asked(f"http://127.0.0.1:{closed_port()}/"))
    assert run_slice(batch.pk).ended
    deliver_all()
    assert client.delete(f"/v1/batches/{batch.public_id}").status_code == 200
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


# -- Where it may lead

REFUSED = [
    *("http://example.com/hook", "ftp://example.com", "example.com/hook", "", "not a url"),
    *(
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://192.168.1.1:8443",
    ),
    *("https://user:secret@example.com/", "https://example.com/#a", "https://example.com:99999/"),
    "https://[::ffff:10.0.0.1]/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_callback_leads_where_webhooks_may(client: Client, settings: Settings, url: str) -> None:
    configure(settings, WEBHOOK_PRIVATE_HOSTS=[])
    error = error_of(post(client, asked(url)), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "callback_url")
    assert error["message"].startswith("Invalid value for 'callback_url': ")
    assert not Batch.objects.exists()
    error_of(post(client, asked("https://example.com/" + "a" * 500)), 400)


def test_what_was_allowed_when_the_batch_was_made_is_looked_at_again(
    client: Client, settings: Settings
) -> None:
    with receiving(answer()) as server:
        batch, _ = made(client, asked(url_of(server)))
        ended(batch)
        configure(settings, WEBHOOK_PRIVATE_HOSTS=[])
        deliver_all()
        assert server.requests == []
    assert "not a public address" in the_delivery().error


# -- Many of them


def test_callbacks_of_one_user_keep_those_of_others_from_nothing(
    provider: Provider, settings: Settings
) -> None:
    greedy, modest = user_named(), user_named()
    batches = Batch.objects.bulk_create(
        Batch(provider=provider, owner=greedy, endpoint="/v1/responses") for _ in range(300)
    )
    callbacks = WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(owner=greedy, batch=batch, name="a", url=URL, secret=encrypt("x"))
        for batch in batches
    )
    mine = subscribed(modest).endpoint
    for endpoint in (*callbacks, mine):
        WebhookDelivery.objects.create(
            endpoint=endpoint, event_type="batch.completed", object_id="batch_1"
        )
    with rings() as heard:
        sweep_deliveries()
    assert WebhookDelivery.objects.get(endpoint=mine).pk in heard
    assert len(heard) <= 200


def test_an_end_that_comes_twice_is_told_once(client: Client) -> None:
    batch, _ = made(client, asked())
    assert run_slice(batch.pk).ended
    for _ in range(3):
        assert finish_batch(batch.pk)
    assert WebhookDelivery.objects.count() == 1
