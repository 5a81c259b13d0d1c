"""Each end of a batch is announced once, to the endpoints that its owner made for it."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.ending.finishing import finish_batch
from batches.errors import NotPossible
from batches.lifecycle import EVENT_TYPES, BatchStatus
from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from batches.secrets.encryption import encrypt
from batches.webhooks import endpoints as webhook_endpoints
from batches.webhooks.deliveries import end_batch
from tests.announcing import batch_owned_by, ended, rings, subscribed, the_delivery
from tests.configuring import configure
from tests.ending.test_finishing import store_first_chunk
from tests.makers import batch_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def batch(provider: Provider, owner: User) -> Batch:
    return batch_owned_by(owner, provider)


# -- what is announced


@pytest.mark.parametrize(
    "target",
    [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED],
)
def test_each_end_is_announced_to_each_endpoint_that_asked_for_it(
    batch: Batch, owner: User, target: BatchStatus
) -> None:
    others = [name for name in EVENT_TYPES if name != f"batch.{target}"]
    both = {subscribed(owner).endpoint.pk, subscribed(owner).endpoint.pk}
    subscribed(owner, "https://example.com/other", *others)
    subscribed(User.objects.create_user("bob"))
    assert ended(batch, target)
    written = list(WebhookDelivery.objects.all())
    assert {delivery.endpoint_id for delivery in written} == both
    assert {(d.event_type, d.object_id) for d in written} == {(f"batch.{target}", batch.public_id)}
    # One event, told twice.
    assert len({delivery.event_id for delivery in written}) == 1


def test_finishing_a_batch_announces_it_once_however_often_it_is_finished(
    batch: Batch, owner: User
) -> None:
    subscribed(owner)
    store_first_chunk(batch)
    assert finish_batch(batch.pk)
    assert finish_batch(batch.pk)
    assert the_delivery().event_type == "batch.completed"


def test_a_cancelled_batch_is_announced(batch: Batch, owner: User) -> None:
    subscribed(owner)
    batch_actions.cancel_batch(batch)
    assert the_delivery().event_type == "batch.cancelled"


def test_a_batch_that_runs_again_is_announced_again_with_another_event(
    batch: Batch, owner: User
) -> None:
    subscribed(owner)
    store_first_chunk(batch)
    finish_batch(batch.pk)
    batch_actions.retry_batch(batch)
    batch_actions.cancel_batch(batch)
    first, second = WebhookDelivery.objects.order_by("pk")
    assert (first.event_type, second.event_type) == ("batch.completed", "batch.cancelled")
    assert first.event_id != second.event_id


def test_a_move_that_comes_too_late_announces_nothing(batch: Batch, owner: User) -> None:
    subscribed(owner)
    Batch.objects.update(status="completed")
    this = Batch.objects.filter(pk=batch.pk)
    assert not end_batch(batch.pk, this, BatchStatus.CANCELLED, sources={BatchStatus.CANCELLING})
    assert not WebhookDelivery.objects.exists()


def test_an_end_that_is_rolled_back_was_not_announced(batch: Batch, owner: User) -> None:
    subscribed(owner)
    with transaction.atomic():
        assert ended(batch)
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_a_batch_of_nobody_ends_in_silence(provider: Provider, owner: User) -> None:
    subscribed(owner)
    assert ended(batch_of(provider, 1))
    assert not WebhookDelivery.objects.exists()


def test_workers_are_rung_for_when_the_end_is_certain(
    batch: Batch, owner: User, django_capture_on_commit_callbacks: object
) -> None:
    subscribed(owner)
    capture = django_capture_on_commit_callbacks
    with rings() as heard:
        assert callable(capture)
        with capture(execute=True):
            ended(batch)
            assert heard == []
        assert heard == [the_delivery().pk]


# -- endpoints


def test_a_user_has_so_many_endpoints_at_most(owner: User, settings: Settings) -> None:
    configure(settings, MAX_WEBHOOK_ENDPOINTS_PER_USER=2)
    first = subscribed(owner).endpoint
    subscribed(owner)
    with pytest.raises(NotPossible, match="delete one first"):
        subscribed(owner)
    subscribed(User.objects.create_user("bob"))
    webhook_endpoints.delete_endpoint(first)
    subscribed(owner)


@pytest.mark.django_db(transaction=True)
def test_the_limit_holds_when_endpoints_are_made_at_once(settings: Settings) -> None:
    configure(settings, MAX_WEBHOOK_ENDPOINTS_PER_USER=3)
    owner = User.objects.create_user("ann")
    refused: list[NotPossible] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        try:
            subscribed(owner)
        except NotPossible as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert WebhookEndpoint.objects.filter(owner=owner).count() == 3
    assert len(refused) == 5


def test_an_unchanged_update_changes_no_time(owner: User) -> None:
    endpoint = subscribed(owner).endpoint
    before = endpoint.updated_at
    webhook_endpoints.update_endpoint(endpoint, name=endpoint.name, url=endpoint.url)
    assert WebhookEndpoint.objects.get().updated_at == before
    webhook_endpoints.update_endpoint(endpoint, name="another")
    assert WebhookEndpoint.objects.get().updated_at > before


def test_a_secret_without_its_key_has_no_hint(owner: User, settings: Settings) -> None:
    made = subscribed(owner)
    hint = webhook_endpoints.secret_hint(made.endpoint)
    assert hint == f"whsec_...{made.secret[-4:]}"
    made.endpoint.secret = encrypt("x")[:-3]
    assert webhook_endpoints.secret_hint(made.endpoint) is None
