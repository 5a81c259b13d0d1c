"""Webhook endpoints are edited, disabled and rotated in the admin; their deliveries stand there."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from batches.webhooks.deliveries import deliver
from tests.admin.conftest import Login
from tests.announcing import batch_owned_by, ended, subscribed
from tests.receivers import is_signed_with, receiving, url_of
from tests.scripted_server import answer

URL = "http://127.0.0.1:9/hook"


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def endpoint(owner: User) -> WebhookEndpoint:
    """An endpoint without a server."""
    return subscribed(owner, URL).endpoint


@pytest.fixture
def batch(provider: Provider, owner: User) -> Batch:
    return batch_owned_by(owner, provider)


def address(endpoint: WebhookEndpoint, name: str = "change") -> str:
    return reverse(f"admin:batches_webhookendpoint_{name}", args=[endpoint.pk])


def press(client: Client, endpoint: WebhookEndpoint, name: str) -> str:
    return client.post(address(endpoint, name), {"post": "yes"}, follow=True).content.decode()


def test_an_endpoint_is_edited(root: Client, endpoint: WebhookEndpoint) -> None:
    secret = endpoint.secret
    given = {"name": "new", "url": f"{URL}/2", "event_types": ["batch.failed"]}
    assert "saved" in root.post(address(endpoint), given, follow=True).content.decode()
    endpoint.refresh_from_db()
    assert {name: getattr(endpoint, name) for name in given} == given
    assert endpoint.secret == secret


def test_a_url_that_may_not_be_called_is_refused_at_its_field(
    root: Client, endpoint: WebhookEndpoint
) -> None:
    given = {"name": "new", "url": "ftp://a", "event_types": ["batch.failed"]}
    shown = root.post(address(endpoint), given)
    assert list(shown.context["form"].errors) == ["url"]
    endpoint.refresh_from_db()
    assert endpoint.url == URL


def test_a_disabled_endpoint_receives_nothing_until_it_is_enabled(
    root: Client, endpoint: WebhookEndpoint, provider: Provider, owner: User, batch: Batch
) -> None:
    ended(batch)
    assert "disabled</span>" in press(root, endpoint, "disable")
    [pending] = WebhookDelivery.objects.all()
    assert (pending.status, pending.error) == ("failed", "the endpoint was disabled")
    ended(batch_owned_by(owner, provider))
    assert WebhookDelivery.objects.count() == 1
    assert "enabled</span>" in press(root, endpoint, "enable")
    ended(batch_owned_by(owner, provider))
    assert WebhookDelivery.objects.filter(status="pending").count() == 1


@pytest.mark.parametrize("keep_old", [True, False])
def test_a_secret_is_rotated_and_shown_once(
    root: Client, owner: User, batch: Batch, *, keep_old: bool
) -> None:
    with receiving(answer(b"")) as server:
        old = subscribed(owner, url_of(server))
        data = {"keep_old": "on"} if keep_old else {}
        shown = root.post(address(old.endpoint, "rotate"), data).content.decode()
        [new] = re.findall(r"<code>(whsec_[^<]+)</code>", shown)
        ended(batch)
        deliver(WebhookDelivery.objects.get().pk)
        [request] = server.requests
    assert is_signed_with(request, new)
    assert is_signed_with(request, old.secret) == keep_old
    assert new not in root.get(address(old.endpoint)).content.decode()


def test_deliveries_stand_on_the_page_of_their_endpoint(
    root: Client, endpoint: WebhookEndpoint, owner: User, batch: Batch
) -> None:
    other = subscribed(owner, f"{URL}/other").endpoint
    assert "Nothing was sent yet" in root.get(address(endpoint)).content.decode()
    ended(batch)
    shown = root.get(address(endpoint)).content.decode()
    assert shown.count(f'title="{batch.public_id}"') == 1
    everything = re.findall(r'href="([^"]+)">All deliveries', shown)[0]
    listed = root.get(everything)
    assert [one.endpoint_id for one in listed.context["cl"].result_list] == [endpoint.pk]
    assert WebhookDelivery.objects.filter(endpoint=other).count() == 1


def test_an_endpoint_is_deleted_with_its_deliveries(
    root: Client, endpoint: WebhookEndpoint, batch: Batch
) -> None:
    ended(batch)
    assert "deliveries: 1" in root.get(address(endpoint, "delete")).content.decode()
    assert "was deleted" in press(root, endpoint, "delete")
    assert (WebhookEndpoint.objects.count(), WebhookDelivery.objects.count()) == (0, 0)


def test_an_endpoint_that_is_not_there_is_a_404(root: Client, endpoint: WebhookEndpoint) -> None:
    for pk in ("0", "x", "9" * 30):
        page = address(endpoint).replace(str(endpoint.pk), pk)
        assert root.get(page).status_code == 404


@pytest.mark.parametrize("name", ["change", "disable", "enable", "rotate", "test"])
def test_who_may_look_changes_nothing(login: Login, endpoint: WebhookEndpoint, name: str) -> None:
    viewer = login("view_webhookendpoint")
    before = list(WebhookEndpoint.objects.values())
    shown = viewer.get(address(endpoint)).content.decode()
    assert "Rotate" not in shown
    assert "Latest deliveries" not in shown
    given = {"name": "new", "url": URL, "event_types": ["batch.failed"]}
    assert viewer.post(address(endpoint, name), given).status_code == 403
    assert list(WebhookEndpoint.objects.values()) == before
