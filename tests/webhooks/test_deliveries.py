"""Events are delivered signed, again and again until they are accepted, and fairly."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from openai import OpenAI
from pytest_django.fixtures import Settings

from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from batches.webhooks import endpoints as webhook_endpoints
from batches.webhooks.client import ReceiverReply
from batches.webhooks.concurrency import DeliverySlots
from batches.webhooks.deliveries import (
    GIVE_UP_AFTER,
    LONGEST_RETRY_S,
    _claim,
    _record,
    deliver,
    retry_delay_s,
    sweep_deliveries,
)
from tests.announcing import (
    batch_owned_by,
    ended,
    failing,
    make_due,
    rings,
    subscribed,
    the_delivery,
)
from tests.receivers import is_signed_with, receiving, url_of
from tests.scripted_server import answer, resets

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def batch(provider: Provider, owner: User) -> Batch:
    return batch_owned_by(owner, provider)


# -- what is delivered


def test_the_official_client_accepts_what_is_delivered(batch: Batch, owner: User) -> None:
    with receiving(answer(b"", status=204)) as server:
        secret = subscribed(owner, url_of(server)).secret
        ended(batch)
        deliver(the_delivery().pk)
    [request] = server.requests
    client = OpenAI(api_key="-", webhook_secret=secret)
    event = client.webhooks.unwrap(request.body, dict(request.headers))
    delivery = the_delivery()
    assert json.loads(request.body) == {
        "id": delivery.event_id,
        "object": "event",
        "created_at": int(delivery.created_at.timestamp()),
        "type": "batch.completed",
        "data": {"id": batch.public_id},
    }
    assert event.type == "batch.completed"
    assert request.header("webhook-id") == delivery.event_id
    assert request.header("content-type") == "application/json"
    assert (delivery.status, delivery.attempts, delivery.status_code) == ("delivered", 1, 204)
    assert delivery.delivered_at


def test_a_delivered_event_is_not_delivered_again(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        subscribed(owner, url_of(server))
        ended(batch)
        for _ in range(3):
            deliver(the_delivery().pk)
            make_due()
        sweep_deliveries()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("step", "status_code"),
    [(answer(status=500), 500), (answer(status=302), 302), (resets(), None)],
)
def test_what_is_not_accepted_is_tried_again_with_the_same_event(
    batch: Batch, owner: User, step: object, status_code: int | None
) -> None:
    assert callable(step)
    with receiving(step, step, answer()) as server:
        subscribed(owner, url_of(server))
        ended(batch)
        delivery = the_delivery()
        for attempt in (1, 2):
            deliver(delivery.pk)
            # Not before it is due.
            deliver(delivery.pk)
            delivery.refresh_from_db()
            assert (delivery.status, delivery.attempts) == ("pending", attempt)
            assert delivery.status_code == status_code
            assert bool(delivery.error) == (status_code is None)
            assert delivery.next_attempt_at > timezone.now()
            make_due()
        deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.error) == ("delivered", 3, "")
    ids = [request.header("webhook-id") for request in server.requests]
    assert ids == [delivery.event_id] * 3
    assert len({request.body for request in server.requests}) == 1


@pytest.mark.parametrize("attempts", range(1, 40))
def test_a_retry_waits_longer_each_time_but_never_for_ever(attempts: int) -> None:
    earliest, latest = (retry_delay_s(attempts, chance=chance) for chance in (0.0, 1.0))
    assert 0 < earliest < latest <= 1.25 * LONGEST_RETRY_S
    if latest < LONGEST_RETRY_S:
        assert retry_delay_s(attempts + 1, chance=0.0) > latest


def test_retries_end_after_three_days(batch: Batch, owner: User) -> None:
    failing(owner)
    ended(batch)
    deliver(the_delivery().pk)
    almost = timezone.now() - GIVE_UP_AFTER + timedelta(minutes=1)
    WebhookDelivery.objects.update(created_at=almost, attempts=12)
    make_due()
    deliver(the_delivery().pk)
    assert the_delivery().status == "failed"
    make_due()
    with rings() as heard:
        sweep_deliveries()
    assert heard == []


def test_what_is_overdue_is_given_up_without_another_call(batch: Batch, owner: User) -> None:
    with receiving(answer()) as canary:
        subscribed(owner, url_of(canary))
        ended(batch)
        long_ago = timezone.now() - GIVE_UP_AFTER - timedelta(seconds=1)
        WebhookDelivery.objects.update(created_at=long_ago)
        with rings() as heard:
            sweep_deliveries()
        assert heard == []
    delivery = the_delivery()
    assert (delivery.status, delivery.attempts) == ("failed", 0)
    assert "72 hours" in delivery.error


def test_an_attempt_whose_worker_died_is_made_again(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        subscribed(owner, url_of(server))
        ended(batch)
        delivery = the_delivery()
        # As the worker left it: claimed, and never heard of again.
        later = timezone.now() + timedelta(seconds=30)
        WebhookDelivery.objects.update(attempts=1, next_attempt_at=later)
        with rings() as heard:
            sweep_deliveries()
            assert heard == []
            make_due()
            sweep_deliveries()
        assert heard == [delivery.pk]
        deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("delivered", 2)
    assert len(server.requests) == 1


def test_a_worker_that_was_thought_dead_notes_nothing(batch: Batch, owner: User) -> None:
    failing(owner)
    ended(batch)
    stale = the_delivery()
    WebhookDelivery.objects.update(attempts=2, status="delivered")
    stale.attempts = 1
    _record(stale, ReceiverReply(500))
    assert the_delivery().status == "delivered"


def test_a_deleted_endpoint_is_told_of_nothing(batch: Batch, owner: User) -> None:
    with receiving(answer()) as canary:
        endpoint = subscribed(owner, url_of(canary)).endpoint
        ended(batch)
        pk = the_delivery().pk
        webhook_endpoints.delete_endpoint(endpoint)
        deliver(pk)
        assert canary.connections == 0
    assert not WebhookDelivery.objects.exists()


def test_a_url_that_was_changed_is_where_retries_go(batch: Batch, owner: User) -> None:
    endpoint = failing(owner)
    ended(batch)
    deliver(the_delivery().pk)
    with receiving(answer()) as server:
        webhook_endpoints.update_endpoint(endpoint, url=url_of(server))
        make_due()
        deliver(the_delivery().pk)
    assert the_delivery().status == "delivered"


def test_old_deliveries_are_forgotten_and_others_kept(batch: Batch, owner: User) -> None:
    subscribed(owner)
    for _ in range(3):
        ended(batch)
    oldest, middle, newest = WebhookDelivery.objects.order_by("pk")
    long_ago = timezone.now() - timedelta(days=31)
    old = WebhookDelivery.objects.exclude(pk=newest.pk)
    old.update(created_at=long_ago, status="delivered")
    # Still waiting for its end, whenever it was made.
    later = timezone.now() + timedelta(hours=1)
    WebhookDelivery.objects.filter(pk=middle.pk).update(status="pending", next_attempt_at=later)
    sweep_deliveries()
    assert set(WebhookDelivery.objects.values_list("pk", flat=True)) == {middle.pk, newest.pk}
    assert oldest.pk != middle.pk


# -- secrets


def test_a_rotated_secret_signs_alone(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        made = subscribed(owner, url_of(server))
        rotated = webhook_endpoints.rotate_secret(made.endpoint, keep_old=False)
        ended(batch)
        deliver(the_delivery().pk)
    [request] = server.requests
    assert is_signed_with(request, rotated.secret)
    assert not is_signed_with(request, made.secret)


def test_an_old_secret_that_was_kept_signs_as_well_for_a_day(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        made = subscribed(owner, url_of(server))
        rotated = webhook_endpoints.rotate_secret(made.endpoint, keep_old=True)
        ended(batch)
        deliver(the_delivery().pk)
        until = made.endpoint.old_secret_expires_at
        assert until
        assert timedelta(hours=23) < until - timezone.now() <= timedelta(hours=24)
        WebhookEndpoint.objects.update(old_secret_expires_at=timezone.now() - timedelta(seconds=1))
        WebhookDelivery.objects.update(status="pending")
        make_due()
        deliver(the_delivery().pk)
    both, new_only = server.requests
    assert is_signed_with(both, rotated.secret)
    assert is_signed_with(both, made.secret)
    assert is_signed_with(new_only, rotated.secret)
    assert not is_signed_with(new_only, made.secret)


def test_secrets_are_random_long_and_not_stored_in_plain(owner: User) -> None:
    made = [subscribed(owner), subscribed(owner)]
    made.append(webhook_endpoints.rotate_secret(made[0].endpoint, keep_old=True))
    assert len({one.secret for one in made}) == 3
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM batches_webhookendpoint")
        stored = repr(cursor.fetchall())
    for one in made:
        assert one.secret.startswith("whsec_")
        assert len(one.secret) == len("whsec_") + 44
        assert one.secret.removeprefix("whsec_") not in stored


def test_a_secret_that_cannot_be_read_any_more_is_said_to_be_so(
    batch: Batch, owner: User, settings: Settings
) -> None:
    with receiving(answer()) as canary:
        endpoint = subscribed(owner, url_of(canary)).endpoint
        WebhookEndpoint.objects.update(secret="nonsense")
        ended(batch)
        deliver(the_delivery().pk)
        assert canary.connections == 0
        assert "rotate the signing secret" in the_delivery().error
        webhook_endpoints.rotate_secret(endpoint, keep_old=False)
        make_due()
        deliver(the_delivery().pk)
    assert the_delivery().status == "delivered"


# -- fairness


def test_one_endpoint_is_called_by_one_sender_at_a_time() -> None:
    slots = DeliverySlots(at_most=8, for_owner=2)
    with slots.one_for(1, 10) as first:
        assert first
        with slots.one_for(1, 10) as second:
            assert not second
        # The one that was refused has not freed the place.
        with slots.one_for(1, 10) as third:
            assert not third
        assert slots.busy == [10]
    assert slots.busy == []
    with slots.one_for(1, 10) as again:
        assert again


def test_an_owner_with_slow_endpoints_leaves_couriers_for_others() -> None:
    slots = DeliverySlots(at_most=3, for_owner=2)
    with slots.one_for(1, 10), slots.one_for(1, 11):
        with slots.one_for(1, 12) as third_of_owner:
            assert not third_of_owner
        with slots.one_for(2, 20) as other:
            assert other
            with slots.one_for(3, 30) as beyond_all:
                assert not beyond_all


def test_a_courier_comes_back_from_a_failure() -> None:
    slots = DeliverySlots(at_most=1, for_owner=1)
    with pytest.raises(ZeroDivisionError), slots.one_for(1, 10):
        _ = 1 / 0
    assert slots.busy == []


def test_events_that_had_to_wait_follow_one_after_the_other(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        subscribed(owner, url_of(server))
        for _ in range(3):
            ended(batch)
        waiting = list(WebhookDelivery.objects.order_by("pk").values_list("pk", flat=True))
        with rings() as heard:
            # The sweeper rings for one of an endpoint; each brings the next.
            assert sweep_deliveries() == 1
            for n in range(3):
                assert heard == waiting[: n + 1]
                deliver(heard[n])
        assert heard == waiting
    assert len(server.requests) == 3


def test_a_failing_endpoint_does_not_hold_up_others(batch: Batch, owner: User) -> None:
    with receiving(answer()) as server:
        failing(owner)
        subscribed(owner, url_of(server))
        ended(batch)
        with rings() as heard:
            sweep_deliveries()
            for pk in list(heard):
                deliver(pk)
    statuses = list(WebhookDelivery.objects.order_by("pk").values_list("status", flat=True))
    assert statuses == ["pending", "delivered"]


def test_an_event_behind_one_that_is_being_delivered_waits_for_no_worker(
    batch: Batch, owner: User
) -> None:
    endpoint = subscribed(owner).endpoint
    first, second = (
        WebhookDelivery.objects.create(
            endpoint=endpoint, event_type="batch.completed", object_id=batch.public_id
        )
        for _ in range(2)
    )
    assert set(WebhookDelivery.objects.waiting()) == {first, second}
    assert _claim(first)
    assert list(WebhookDelivery.objects.due()) == [second]
    assert not WebhookDelivery.objects.waiting().exists()
