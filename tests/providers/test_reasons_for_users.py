"""Users are told why a connection failed, and not what addresses there are behind names."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.lifecycle import BatchStatus
from batches.models import Batch, Provider, Result, Slot, WebhookDelivery, WebhookEndpoint
from batches.runner.run import run_slice
from batches.webhooks.deliveries import announce, deliver
from batches.webhooks.endpoints import create_endpoint
from tests.api.calling import client_of, user_named
from tests.configuring import configure
from tests.makers import options, prompts_of
from tests.scripted_server import closed_port

pytestmark = pytest.mark.django_db

# Each leads to this machine, and is not called.
HOSTS = ["localhost", "LocalHost"]
ADDRESSES = ("127.0.0.1", "::1", "0.0.0.0")


@pytest.fixture
def user(db: None) -> User:
    return user_named()


@pytest.fixture
def client(user: User) -> Client:
    return client_of(user)


@pytest.fixture(params=HOSTS)
def endpoint(request: pytest.FixtureRequest, user: User, settings: Settings) -> WebhookEndpoint:
    """An endpoint whose host leads to an address that may not be called."""
    configure(settings, WEBHOOK_PRIVATE_HOSTS=[])
    url = f"https://{request.param}:{closed_port()}/hook"
    return create_endpoint(user, name="n", url=url, event_types=["batch.completed"]).endpoint


def addresses_in(text: str) -> list[str]:
    return [address for address in ADDRESSES if address in text]


def test_a_test_of_an_endpoint_names_none_to_its_user(
    client: Client, endpoint: WebhookEndpoint
) -> None:
    answered = client.post(
        f"/v1/webhook_endpoints/{endpoint.public_id}/test",
        {"event_type": "batch.completed"},
        "application/json",
    )
    assert answered.status_code == 400
    message = answered.json()["error"]["message"]
    assert "an address that is not public" in message
    assert "WEBHOOK_PRIVATE_HOSTS" in message
    assert not addresses_in(message)


def test_a_test_of_an_endpoint_names_it_to_staff(endpoint: WebhookEndpoint) -> None:
    staff = Client(SERVER_NAME="localhost")
    staff.force_login(User.objects.create_superuser("staff"))
    path = f"/admin/batches/webhookendpoint/{endpoint.pk}/test/"
    assert addresses_in(staff.post(path, follow=True).content.decode())


def test_a_delivery_names_none(
    client: Client, user: User, endpoint: WebhookEndpoint, provider: Provider
) -> None:
    batch = batch_actions.create_batch(
        provider, prompts_of(["a"]), options(), origin=batch_actions.Origin(user)
    )
    announce(batch.pk, BatchStatus.COMPLETED)
    deliver(WebhookDelivery.objects.get().pk)
    answered = client.get(f"/v1/webhook_endpoints/{endpoint.public_id}/deliveries")
    [delivery] = answered.json()["data"]
    assert delivery["attempts"] == 1
    assert "an address that is not public" in delivery["error"]
    assert not addresses_in(answered.content.decode())


# As they are stored: the provider's base URL is in each.
PROVIDER_REASONS = [
    "http://127.0.0.1:8000/v1: connection refused, since no server listens on this port",
    "http://[::1]:8000/v1 (through the proxy http://127.0.0.1:3128): no connection within 10 s",
    "https://vllm.internal/v1: 127.0.0.1 is not a public address; set PROVIDER_PRIVATE_HOSTS",
]


@pytest.fixture
def batch(user: User, provider: Provider) -> Batch:
    texts = prompts_of(["[simulate: status=400]"] * 2)
    return batch_actions.create_batch(
        provider, texts, options(batch_size=1, max_attempts=1), origin=batch_actions.Origin(user)
    )


@pytest.mark.parametrize("reason", PROVIDER_REASONS)
def test_a_batch_that_waits_or_stands_still_names_none(
    client: Client, batch: Batch, reason: str
) -> None:
    path = f"/v1/batches/{batch.public_id}"
    Slot.objects.filter(batch=batch).update(
        lease_expires_at="2100-01-01T00:00Z", waiting={"reason": reason, "since": 1, "next": 2}
    )
    shown = client.get(path).json()
    assert "[address]" in shown["waiting"]["reason"]
    assert not addresses_in(str(shown))
    Provider.objects.update(pause_reason=f"network: {reason}")
    shown = client.get(path).json()
    assert "[address]" in shown["pause_reason"]
    assert not addresses_in(str(shown))


@pytest.mark.parametrize("reason", PROVIDER_REASONS)
def test_results_and_their_file_name_none(
    client: Client, user: User, batch: Batch, reason: str
) -> None:
    run_slice(batch.pk)
    Result.objects.filter(batch=batch, index=0).update(kind="network", message=reason, body=None)
    Result.objects.filter(batch=batch, index=1).update(
        kind="schema_violation", status_code=200, message="192.0.2.1 is no URL"
    )
    written = client.get(f"/v1/files/{batch_file(batch)}/content")
    shown = client.get(f"/v1/batches/{batch.public_id}/results")
    for text in (b"".join(written).decode(), shown.content.decode()):
        assert "[address]" in text
        assert not addresses_in(text)
        # What is said of an answer is not about a connection.
        assert "192.0.2.1 is no URL" in text
    assert reason in Result.objects.get(batch=batch, index=0).message


def batch_file(batch: Batch) -> str:
    batch.refresh_from_db()
    assert batch.error_file
    return batch.error_file.public_id
