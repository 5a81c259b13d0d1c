"""Results over the API: in order, by pages, by status, and without a look at all of them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from batches.actions import batches as batch_actions
from batches.api import events
from batches.api.results import ResultPage
from batches.models import Batch, Chunk, Prompt, Provider, Result
from batches.output.jsonl import request_id
from batches.output.pages import PAGE_BYTES
from batches.runner.run import run_slice
from batches.secrets.tokens import create_token
from tests.api.calling import client_of, error_of, user_named
from tests.makers import options as chosen
from tests.makers import prompts_of

pytestmark = pytest.mark.django_db

T = TypeVar("T")

MANY = 1_000_000
FAIL = "[simulate: status=400]"


@pytest.fixture
def client(user: User) -> Client:
    return client_of(user)


def batch_for(user: User, provider: Provider, texts: list[str], **options: Any) -> Batch:
    items = prompts_of(texts)
    origin = batch_actions.Origin(user)
    return batch_actions.create_batch(provider, items, chosen(**options), origin=origin)


@pytest.fixture
def batch(user: User, provider: Provider) -> Batch:
    """Nine prompts; every third fails."""
    batch = batch_for(user, provider, ["a", "b", FAIL] * 3)
    assert run_slice(batch.pk).ended
    return batch


def page(client: Client, batch: Batch, **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/batches/{batch.public_id}/results", query)
    assert reply.status_code == 200, reply.content
    answer: dict[str, Any] = reply.json()
    ResultPage.model_validate(answer)
    return answer


def indexes(answer: dict[str, Any]) -> list[int]:
    return [item["index"] for item in answer["data"]]


def test_a_result_is_a_line_with_what_is_known_beside_it(client: Client, batch: Batch) -> None:
    answer = page(client, batch)
    assert indexes(answer) == list(range(9))
    assert (answer["object"], answer["has_more"], answer["incomplete"]) == ("list", False, False)
    good, failed = answer["data"][0], answer["data"][2]
    assert good["response"]["body"]["choices"]
    assert (good["status"], good["kind"], good["error"], good["calls"]) == (
        *("succeeded", None, None, 1),
    )
    assert good["latency_s"] > 0
    assert good["usage"]["input_tokens"] > 0
    assert (failed["status"], failed["kind"], failed["error"]) == ("failed", "request", None)
    assert failed["response"]["status_code"] == 400


def test_the_latency_is_told_to_the_microsecond(client: Client, batch: Batch) -> None:
    Result.objects.filter(batch=batch, index=0).update(latency_s=0.006858630000351695)
    Result.objects.filter(batch=batch, index=1).update(latency_s=None)
    first, second = page(client, batch)["data"][:2]
    assert (first["latency_s"], second["latency_s"]) == (0.006859, None)


def test_pages_hold_together(client: Client, batch: Batch) -> None:
    found: list[int] = []
    after = ""
    while True:
        answer = page(client, batch, limit=2, **({"after": after} if after else {}))
        found += indexes(answer)
        assert answer["last_id"] == answer["data"][-1]["id"]
        after = answer["last_id"]
        if not answer["has_more"]:
            break
    assert found == list(range(9))


def test_where_replies_are_long_a_page_has_fewer(client: Client, batch: Batch) -> None:
    long = json.dumps({"text": "x" * (PAGE_BYTES // 3)})
    Result.objects.filter(batch=batch).update(body=long)
    first = page(client, batch, limit=1000)
    assert (indexes(first), first["has_more"]) == ([0, 1], True)
    second = page(client, batch, limit=1000, after=first["last_id"])
    assert (indexes(second), second["has_more"]) == ([2, 3], True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "failed"}, [2, 5, 8]),
        ({"status": "succeeded", "limit": 2}, [0, 1]),
        ({"kind": "request"}, [2, 5, 8]),
        ({"kind": "timeout"}, []),
        ({"kind": "request", "status": "succeeded"}, []),
        ({"kind": "request", "status": "failed", "limit": 1}, [2]),
    ],
)
def test_results_by_status_and_kind(
    client: Client, batch: Batch, query: dict[str, Any], expected: list[int]
) -> None:
    assert indexes(page(client, batch, **query)) == expected


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"status": "done"}, "status"),
        ({"status": ""}, "status"),
        ({"kind": "x' OR 1=1"}, "kind"),
        ({"after": "batch_req_zz"}, "after"),
        ({"after": "batch_req_" + "f" * 16}, "after"),
        ({"after": "batch_req_" + "f" * 5000}, "after"),
        ({"after": "batch_req_0000000000000000"}, "after"),
        ({"after": "batch_req_-1"}, "after"),
        ({"after": "\0"}, "after"),
    ],
)
def test_bad_queries_are_refused_by_name(
    client: Client, batch: Batch, query: dict[str, Any], param: str
) -> None:
    reply = client.get(f"/v1/batches/{batch.public_id}/results", query)
    error = error_of(reply, 400)
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_the_id_of_another_batch_is_no_place_in_this_one(
    client: Client, batch: Batch, user: User, provider: Provider
) -> None:
    other = batch_for(user, provider, ["a"])
    run_slice(other.pk)
    [stranger] = page(client, other)["data"]
    reply = client.get(f"/v1/batches/{batch.public_id}/results", {"after": stranger["id"]})
    assert error_of(reply, 400)["param"] == "after"


def test_a_batch_that_runs_shows_what_there_is(
    client: Client, user: User, provider: Provider
) -> None:
    batch = batch_for(user, provider, ["a", "b", "c", "d"], batch_size=2)
    Chunk.objects.filter(batch=batch, lo=0).update(state="done")
    run_slice(batch.pk)
    Batch.objects.filter(pk=batch.pk).update(status="in_progress")
    answer = page(client, batch)
    assert (indexes(answer), answer["incomplete"]) == ([2, 3], True)


# -- what it costs


def fill(batch: Batch, count: int) -> None:
    """Give a batch this number of prompts with results, every tenth failed."""
    if connection.vendor == "postgresql":
        series = f"generate_series(10, {count - 1}) AS s(n)"
    else:
        following = f"SELECT n + 1 FROM c WHERE n < {count - 1}"  # noqa: S608 - our own number
        series = f"(WITH RECURSIVE c(n) AS (SELECT 10 UNION ALL {following}) SELECT n FROM c) AS s"  # noqa: S608 - the same
    index = connection.ops.quote_name("index")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO batches_prompt (batch_id, {index}, custom_id, body) "  # noqa: S608 - our own numbers
            f"SELECT {batch.pk}, s.n, 'id-' || s.n, '{{}}' FROM {series}"
        )
        cursor.execute(
            "INSERT INTO batches_result (prompt_id, batch_id, "  # noqa: S608 - our own numbers
            f"{index}, status, kind, code, message, request_id, status_code, body, finish_reason, "
            "input_tokens, output_tokens, calls, latency_s, elapsed_s, done_at) "
            f"SELECT p.id, p.batch_id, p.{index}, "
            f"CASE WHEN p.{index} % 10 = 0 THEN 'failed' ELSE 'succeeded' END, "
            f"CASE WHEN p.{index} % 10 = 0 THEN 'server' ELSE '' END, "
            "'', '', '', 200, '{}', 'stop', 1, 1, 1, 0.5, 0.5, CURRENT_TIMESTAMP "
            f"FROM batches_prompt p WHERE p.batch_id = {batch.pk} AND p.{index} >= 10"
        )
        cursor.execute("ANALYZE")


def plans(queries: CaptureQueriesContext, fragment: str) -> list[str]:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    found = []
    asked = [query["sql"] for query in queries.captured_queries if fragment in query["sql"]]
    with connection.cursor() as cursor:
        for sql in asked:
            cursor.execute(f"{explain} {sql}")
            found.append("\n".join(str(step) for step in cursor.fetchall()))
    return found


def test_a_page_of_a_large_batch_is_found_by_indexes_alone(
    client: Client, user: User, provider: Provider
) -> None:
    batch = batch_for(user, provider, [FAIL] + ["a"] * 9)
    run_slice(batch.pk)
    fill(batch, MANY)
    middle = Prompt.objects.get(batch=batch, index=MANY // 2)
    for query in ({}, {"status": "failed"}, {"status": "succeeded"}, {"kind": "server"}):
        with CaptureQueriesContext(connection) as queries:
            answer = page(client, batch, after=request_id(middle.pk), limit=1000, **query)
        assert len(answer["data"]) == 1000
        assert indexes(answer)[0] > MANY // 2
        for plan in plans(queries, "batches_result"):
            for costly in ("SCAN", "Seq Scan", "TEMP B-TREE", "Sort"):
                assert costly not in plan, plan


def test_reading_a_batch_costs_the_same_whatever_its_size(
    client: Client, user: User, provider: Provider
) -> None:
    batch = batch_for(user, provider, [FAIL, "a"])
    run_slice(batch.pk)
    address = f"/v1/batches/{batch.public_id}"
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).json()["timing"]["p99_s"] is not None
    # The token, its user, and the batch with its provider and its files.
    assert len(queries) <= 3, [query["sql"] for query in queries.captured_queries]
    assert not any("batches_result" in query["sql"] for query in queries.captured_queries)


@pytest.mark.parametrize("count", [1, 12])
def test_lists_take_as_many_queries_for_few_as_for_many(
    client: Client, user: User, provider: Provider, count: int
) -> None:
    for _ in range(count):
        run_slice(batch_for(user, provider, ["a", FAIL]).pk)
    client.get("/v1/batches")
    for path, most in (("batches", 3), ("files", 3)):
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get(f"/v1/{path}").json()["data"]) >= count
        assert len(queries) <= most, [query["sql"] for query in queries.captured_queries]


# -- events


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What a function returns that uses the database, whose connection is not kept."""

    def call() -> T:
        try:
            return function(*arguments)
        finally:
            connection.close()

    return await asyncio.to_thread(call)


async def told(stream: Any, events: int) -> list[tuple[str, dict[str, Any]]]:
    """So many events of a stream."""
    found: list[tuple[str, dict[str, Any]]] = []
    async for piece in stream:
        for block in piece.decode().strip().split("\n\n"):
            if not block.startswith(":"):
                name, data = block.split("\n")
                found.append((name.removeprefix("event: "), json.loads(data[len("data: ") :])))
        if len(found) >= events:
            break
    return found


def test_a_wsgi_server_tells_how_it_is_now(client: Client, user: User, provider: Provider) -> None:
    """It would give a thread to each who listens, and say nothing until the end."""
    batch = batch_for(user, provider, ["a"])
    address = f"/v1/batches/{batch.public_id}/events"
    names: list[list[str]] = []
    for _ in range(2):
        reply = client.get(address)
        assert reply.headers["Content-Type"] == "text/event-stream"
        blocks = reply.content.decode().strip().split("\n\n")
        assert blocks[0] == "retry: 1000"
        names.append([block.split("\n")[0] for block in blocks[1:]])
        run_slice(batch.pk)
    assert names == [["event: progress"], ["event: progress", "event: end"]]


@pytest.mark.django_db(transaction=True)
async def test_a_head_is_answered_at_once(provider: Provider) -> None:
    user = await in_thread(user_named)
    token = await in_thread(create_token, user)
    batch = await in_thread(batch_for, user, provider, ["a"])
    reply = await AsyncClient().head(
        f"/v1/batches/{batch.public_id}/events", headers={"Authorization": f"Bearer {token}"}
    )
    assert (reply.status_code, reply.streaming) == (200, False)
    assert reply.headers["Content-Type"] == "text/event-stream"


@pytest.mark.django_db(transaction=True)
async def test_events_tell_what_changes_and_then_the_end(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.01)
    user = await in_thread(user_named)
    token = await in_thread(create_token, user)
    batch = await in_thread(batch_for, user, provider, ["a", "b"])
    reply = await AsyncClient().get(
        f"/v1/batches/{batch.public_id}/events", headers={"Authorization": f"Bearer {token}"}
    )
    assert reply.status_code == 200, reply.content
    assert reply.headers["Content-Type"] == "text/event-stream"
    stream = aiter(reply.streaming_content)  # type: ignore[attr-defined]  # of a streamed answer
    [(name, now)] = await told(stream, 1)
    assert (name, now["id"], now["status"]) == ("progress", batch.public_id, "in_progress")
    await in_thread(run_slice, batch.pk)
    rest = await told(stream, 1000)
    assert [name for name, _ in rest][-2:] == ["progress", "end"]
    assert rest[-1][1]["status"] == "completed"
    assert rest[-1][1]["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


@pytest.mark.django_db(transaction=True)
async def test_a_silent_batch_is_heard_of_now_and_then(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(events, "HEARTBEAT_EVERY_S", 0.02)
    user = await in_thread(user_named)
    batch = await in_thread(batch_for, user, provider, ["a"])
    stream = events.events(batch.pk)
    pieces = [await anext(stream), await anext(stream)]
    assert pieces[0].startswith(b"event: progress\n")
    assert pieces[1].startswith(b":")
    await in_thread(Batch.objects.all().delete)
    assert [piece async for piece in stream if not piece.startswith(b":")] == []
