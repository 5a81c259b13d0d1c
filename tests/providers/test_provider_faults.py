"""A call over a real socket that goes wrong: cut off, no HTTP, too long, too slow."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable

import pytest

from batches.engine.errors import (
    ConfigError,
    MalformedReply,
    NetworkError,
    NotAnApi,
    ProviderError,
)
from batches.providers.client import MAX_REPLY_BYTES, ProviderClient
from tests.calling import LOOPBACK, failure, request, serving
from tests.scripted_server import (
    ScriptedServer,
    Step,
    answer,
    as_bytes,
    chat,
    chunked,
    closed_port,
    closes,
    gzip_bomb,
    hangs,
    head,
    resets,
    sends,
    trickles,
)
from tests.waiting import eventually

GOOD = as_bytes(chat())

CUT_SHORT: dict[str, Step] = {
    "closed before an answer": closes(),
    "closed in the headers": closes(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "shorter than its length": closes(head(content_length=len(GOOD) + 1) + GOOD),
    "a chunk cut off": closes(head(transfer_encoding="chunked") + b"ff\r\n" + GOOD),
    "no last chunk": closes(
        head(transfer_encoding="chunked") + b"%x\r\n%s\r\n" % (len(GOOD), GOOD)
    ),
    "reset before an answer": resets(),
    "reset in the body": resets(head(content_length=len(GOOD) + 1) + GOOD),
}


@pytest.mark.parametrize("step", CUT_SHORT.values(), ids=CUT_SHORT)
async def test_a_reply_that_is_cut_off_is_a_fault_of_the_network(step: Step) -> None:
    async with serving(step, answer(chat("next"))) as (server, client):
        assert isinstance(await failure(client), NetworkError)
        assert (await client.send(request())).answer == "next"
        assert server.connections == 2


async def test_a_reply_without_length_that_is_cut_off_is_malformed() -> None:
    async with serving(closes(head(connection="close") + GOOD[:-1])) as (_, client):
        assert type(await failure(client)) is MalformedReply


NOT_HTTP: dict[str, Step] = {
    "another protocol": closes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "no status": closes(b"HTTP/1.1 abc\r\n\r\n"),
    "a length that is none": closes(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
    "a negative length": closes(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"),
    "two lengths": closes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"),
    "a chunk without a size": closes(head(transfer_encoding="chunked") + b"zz\r\n"),
    "a header without an end": closes(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000),
    "headers without number": closes(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000),
    "gzip that is none": answer(b"no", content_encoding="gzip"),
}


@pytest.mark.parametrize("step", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_malformed(step: Step) -> None:
    async with serving(step) as (_, client):
        error = await failure(client)
    assert type(error) is (MalformedReply if "compressed" in error.message else NotAnApi)
    assert len(error.message) < 600
    assert "\n" not in error.message


@pytest.mark.parametrize("size", [len(GOOD) - 5, 10, 0])
async def test_a_length_that_is_too_small_never_makes_a_success(size: int) -> None:
    async with serving(sends(head(content_length=size) + GOOD), answer(chat("next"))) as (
        _,
        client,
    ):
        assert isinstance(await failure(client), MalformedReply | NetworkError)
        assert (await client.send(request())).answer == "next"


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    forged = head(content_length=len(GOOD)) + GOOD.replace(b"hello", b"EVIL!")
    async with serving(
        sends(head(content_length=len(GOOD)) + GOOD + forged), answer(chat("mine"))
    ) as (_, client):
        answers = [(await client.send(request())).answer for _ in range(3)]
    assert answers == ["hello", "mine", "mine"]


async def test_a_port_where_nobody_listens_is_a_fault_of_the_network() -> None:
    base_url = f"http://127.0.0.1:{closed_port()}/v1"
    async with ProviderClient(base_url, addresses=LOOPBACK) as client:
        error = await failure(client)
    assert isinstance(error, NetworkError)
    assert error.message.startswith(f"{base_url}: connection refused, since no server listens")


async def test_a_name_that_leads_nowhere_is_a_fault_of_the_network(nameless: None) -> None:
    async with ProviderClient("http://provider.invalid/v1") as client:
        error = await failure(client)
    assert isinstance(error, NetworkError)
    assert "provider.invalid" in error.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    async with ScriptedServer(answer(chat("from elsewhere"))) as canary:
        location = f"http://127.0.0.1:{canary.port}/v1/chat/completions"
        step = answer(b"", status=status, location=location)
        async with serving(step, api_key="sk-1234") as (server, client):
            error = await failure(client)
        assert type(error) is ConfigError
        assert error.status_code == status
        assert (len(server.requests), canary.connections) == (1, 0)


async def test_a_reply_over_the_limit_is_cut_off_and_its_connection_closed() -> None:
    step = trickles(head(content_length=10**12), b"x" * 65536, every_s=0)
    async with serving(step, answer(chat()), max_reply_bytes=200_000) as (server, client):
        error = await failure(client)
        assert type(error) is MalformedReply
        assert "200000 bytes (MAX_REPLY_BYTES)" in error.message
        await eventually(lambda: server.open == 0)
        assert (await client.send(request())).answer == "hello"


@pytest.mark.parametrize("wrap", [answer, chunked])
async def test_the_limit_is_that_of_the_reply_itself(wrap: Callable[[bytes], Step]) -> None:
    async with serving(wrap(GOOD), max_reply_bytes=len(GOOD)) as (_, client):
        assert (await client.send(request())).answer == "hello"
    async with serving(wrap(GOOD), max_reply_bytes=len(GOOD) - 1) as (_, client):
        assert type(await failure(client)) is MalformedReply


async def failure_and_peak(client: ProviderClient) -> tuple[ProviderError, int]:
    """The error of a call that must fail, and the most bytes that were held meanwhile."""
    tracemalloc.start()
    try:
        return await failure(client), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status", [200, 500])
async def test_a_compressed_bomb_is_defused(status: int) -> None:
    bomb = gzip_bomb(512)
    assert len(bomb) < 700_000
    async with serving(answer(bomb, status=status, content_encoding="gzip")) as (_, client):
        error, peak = await failure_and_peak(client)
    assert type(error) is MalformedReply
    assert "(MAX_REPLY_BYTES)" in error.message
    assert MAX_REPLY_BYTES <= peak < 100 * 2**20


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,gzip", "deflate, gzip", "gzip, identity"])
async def test_a_bomb_in_a_bomb_is_defused(encoding: str) -> None:
    bomb = gzip.compress(gzip_bomb(512))
    assert len(bomb) < 10_000
    async with serving(answer(bomb, content_encoding=encoding)) as (_, client):
        error, peak = await failure_and_peak(client)
    assert type(error) is MalformedReply
    assert peak < 100 * 2**20


async def test_two_headers_for_one_encoding_are_no_way_around() -> None:
    bomb = gzip.compress(gzip_bomb(512))
    twice = b"content-encoding: gzip\r\n" * 2
    step = closes(b"HTTP/1.1 200 OK\r\n" + twice + b"\r\n" + bomb)
    async with serving(step) as (_, client):
        error, peak = await failure_and_peak(client)
    assert type(error) is MalformedReply
    assert peak < 100 * 2**20


async def sent_until(arrived: Callable[[], bool], client: ProviderClient) -> None:
    """Make a call whose deadline comes once it has arrived, however long that takes."""
    async with asyncio.timeout(None) as deadline:
        arrival = asyncio.create_task(eventually(arrived))
        arrival.add_done_callback(lambda _: deadline.reschedule(asyncio.get_running_loop().time()))
        await client.send(request())


@pytest.mark.parametrize(
    "step",
    [
        hangs(),
        trickles(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
        trickles(head(content_length=10**6), b" "),
        trickles(head(transfer_encoding="chunked"), b"1\r\n \r\n"),
        trickles(head(), b" "),
    ],
    ids=["silence", "headers", "body", "chunks", "until closed"],
)
async def test_a_call_is_cut_by_the_deadline_of_its_caller_and_its_connection_closed(
    step: Step,
) -> None:
    async with serving(step, answer(chat("next")), connections=1) as (server, client):
        with pytest.raises(TimeoutError):
            await sent_until(lambda: len(server.requests) == 1, client)
        assert len(server.requests) == 1
        await eventually(lambda: server.open == 0)
        assert (await client.send(request())).answer == "next"
        assert server.connections == 2


async def test_a_client_that_is_closed_leaves_no_connection_open() -> None:
    async with serving(answer(chat())) as (server, client):
        await asyncio.gather(*(client.send(request()) for _ in range(5)))
        assert server.open > 0
    await eventually(lambda: server.open == 0)
