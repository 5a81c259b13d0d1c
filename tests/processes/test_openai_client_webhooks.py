"""The unmodified official client manages webhooks and accepts what a live worker delivers."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.processes.api_stack import MODEL, ApiServer, ApiStack
from tests.receivers import receiving, url_of
from tests.scripted_server import ScriptedServer, answer, closed_port, hangs, resets

URL = "https://example.com/hook"
ALL = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]


@pytest.fixture
def client(api_server: ApiServer) -> OpenAI:
    return api_server.client(max_retries=0)


def created(client: OpenAI, url: str = URL) -> Any:
    return client.webhooks.create(
        name="hook",
        url=url,
        event_types=["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
    )


# -- OA-33 to OA-36


def test_an_endpoint_is_created_retrieved_updated_listed_and_deleted(client: OpenAI) -> None:
    made = created(client)
    assert (made.object, made.name, made.url) == ("webhook_endpoint", "hook", URL)
    assert made.event_types == ALL
    assert made.signing_secret.startswith("whsec_")
    assert made.signing_secret_hint
    assert made.created_at == made.updated_at
    found = client.webhooks.retrieve(made.id)
    assert "signing_secret" not in found.model_dump()
    changed = client.webhooks.update(made.id, name="new", event_types=["batch.failed"])
    assert (changed.name, changed.url, changed.event_types) == ("new", URL, ["batch.failed"])
    assert [endpoint.id for endpoint in client.webhooks.list()] == [made.id]
    deleted = client.webhooks.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (
        *(made.id, "webhook_endpoint.deleted"),
        True,
    )
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(made.id)


def test_the_client_walks_through_the_pages(client: OpenAI) -> None:
    ids = [created(client).id for _ in range(5)]
    assert [endpoint.id for endpoint in client.webhooks.list(limit=2)] == ids[::-1]


def test_a_secret_is_rotated(client: OpenAI) -> None:
    made = created(client)
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.id == made.id
    assert rotated.signing_secret != made.signing_secret


def test_the_event_types_are_listed(client: OpenAI) -> None:
    assert set(client.webhooks.event_types.list().data) == set(ALL)


def test_a_sample_is_sent(client: OpenAI) -> None:
    with receiving(answer(b"", status=418)) as receiver:
        made = created(client, url_of(receiver))
        result = client.webhooks.test(made.id, event_type="batch.expired")
    assert (result.object, result.event_type) == ("webhook_endpoint.test", "batch.expired")
    assert (result.status_code, result.success) == (418, True)
    assert result.webhook_endpoint_id == made.id
    event = unwrapped(receiver, made.signing_secret)
    assert event.type == "batch.expired"


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.1.2.3/", "nonsense"])
def test_a_url_that_is_refused_is_a_bad_request(client: OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        created(client, url)
    assert (caught.value.param, caught.value.code) == ("url", "invalid_value")


def test_an_unreachable_endpoint_is_a_bad_request(client: OpenAI) -> None:
    made = created(client, f"http://127.0.0.1:{closed_port()}/")
    with pytest.raises(openai.BadRequestError) as caught:
        client.webhooks.test(made.id, event_type="batch.failed")
    assert caught.value.code == "webhook_endpoint_unreachable"


# -- events of real batches


def unwrapped(receiver: ScriptedServer, secret: str, number: int = -1) -> Any:
    """What the official client makes of a request. Raises for a wrong signature."""
    request = receiver.requests[number]
    client = OpenAI(api_key="-", webhook_secret=secret)
    return client.webhooks.unwrap(request.body, dict(request.headers))


def run_a_batch(client: OpenAI) -> str:
    """The id of a new batch of one prompt."""
    body = {"prompts": ["hello"], "body": {"model": MODEL}}
    return str(client.post("/batches", body=body, cast_to=dict[str, Any])["id"])


def told_of_a_batch(api_stack: ApiStack, client: OpenAI, receiver: ScriptedServer) -> str:
    """The id of a new batch, of whose end the receiver has been told."""
    before = len(receiver.requests)
    batch = run_a_batch(client)
    wait_until(api_stack, lambda: len(receiver.requests) > before, "the event")
    return batch


def deliveries(client: OpenAI, endpoint: Any) -> list[dict[str, Any]]:
    path = f"/webhook_endpoints/{endpoint.id}/deliveries"
    page: dict[str, Any] = client.get(path, cast_to=dict[str, Any])
    return list(page["data"])


def wait_until(api_stack: ApiStack, condition: Callable[[], object], what: str) -> None:
    api_stack.stack.wait_until(condition, what)


def test_the_end_of_a_batch_arrives_signed(api_stack: ApiStack) -> None:
    client = api_stack.server.client()
    with receiving(answer(b"", status=204)) as receiver:
        made = created(client, url_of(receiver))
        batch = run_a_batch(client)
        wait_until(api_stack, lambda: receiver.requests, "the event")
        wait_until(
            api_stack,
            lambda: deliveries(client, made)[0]["status"] == "delivered",
            "the note of it",
        )
    event = unwrapped(receiver, made.signing_secret)
    assert (event.type, event.data.id) == ("batch.completed", batch)
    # It is told when it is so.
    assert client.batches.retrieve(batch).status == "completed"
    assert len(receiver.requests) == 1
    other = api_stack.server.client()
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrapped(receiver, created(other).signing_secret)


def test_after_a_rotation_both_secrets_open_an_event_or_the_new_one_alone(
    api_stack: ApiStack,
) -> None:
    client = api_stack.server.client()
    with receiving(answer(b"", status=204)) as receiver:
        old = created(client, url_of(receiver))
        secrets = [old.signing_secret]
        for keep_old in (True, False):
            rotated = client.webhooks.rotate_secret(
                old.id, keep_old_secret_active_for_24_hours=keep_old
            )
            secrets.append(rotated.signing_secret)
            batch = told_of_a_batch(api_stack, client, receiver)
            assert unwrapped(receiver, secrets[-1]).data.id == batch
            if keep_old:
                assert unwrapped(receiver, secrets[-2]).data.id == batch
                signatures = dict(receiver.requests[-1].headers)["webhook-signature"].split()
                assert len(signatures) == 2
    for outdated in secrets[:-1]:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            unwrapped(receiver, outdated)


@pytest.mark.parametrize("refusal", [answer(status=503), answer(status=302), resets()])
def test_an_event_that_was_refused_comes_again(api_stack: ApiStack, refusal: Any) -> None:
    client = api_stack.server.client()
    with receiving(refusal, answer()) as receiver:
        made = created(client, url_of(receiver))
        run_a_batch(client)
        wait_until(api_stack, lambda: len(receiver.requests) == 2, "the second attempt")
        wait_until(
            api_stack,
            lambda: deliveries(client, made)[0]["status"] == "delivered",
            "the note of it",
        )
    first, second = (unwrapped(receiver, made.signing_secret, number) for number in (0, 1))
    assert first == second
    ids = [request.header("webhook-id") for request in receiver.requests]
    assert ids == [first.id] * 2
    [delivery] = deliveries(client, made)
    assert (delivery["id"], delivery["attempts"]) == (first.id, 2)


def test_an_event_comes_when_the_receiver_is_up_again(api_stack: ApiStack) -> None:
    client = api_stack.server.client()
    made = created(client, f"http://127.0.0.1:{closed_port()}/")
    batch = run_a_batch(client)

    def refused() -> bool:
        found = deliveries(client, made)
        return bool(found and found[0]["error"])

    wait_until(api_stack, refused, "the first attempt")
    with receiving(answer()) as receiver:
        client.webhooks.update(made.id, url=url_of(receiver))
        wait_until(api_stack, lambda: receiver.requests, "the event")
    event = unwrapped(receiver, made.signing_secret)
    assert event.data.id == batch


def test_a_receiver_that_hangs_delays_nobody_else(api_stack: ApiStack) -> None:
    slow, quick = api_stack.server.client(), api_stack.server.client()
    with receiving(hangs()) as stuck, receiving(answer()) as receiver:
        for _ in range(3):
            created(slow, url_of(stuck))
        for _ in range(4):
            run_a_batch(slow)
        wait_until(api_stack, lambda: stuck.under_way, "a call that hangs")
        made = created(quick, url_of(receiver))
        batch = run_a_batch(quick)
        wait_until(api_stack, lambda: receiver.requests, "the event")
        # It has overtaken most of the twelve, of which each hangs for ten seconds.
        assert 0 < len(stuck.requests) < 12
        assert stuck.most_under_way <= 2
    assert unwrapped(receiver, made.signing_secret).data.id == batch
