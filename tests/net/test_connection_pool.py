"""httpx's transport interface over an aiohttp session: any httpx client can use it."""

import aiohttp
import httpx
import pytest

from batches.net.connection_pool import PART_BYTES, ConnectionPool
from tests.scripted_server import ScriptedServer, answer, closed_port, closes, head

LONG = b"x" * (2 * PART_BYTES + 1)


@pytest.mark.parametrize("content", [b"", b"short", LONG], ids=["empty", "short", "long"])
async def test_an_httpx_client_sends_its_requests_through_it(content: bytes) -> None:
    async with (
        ScriptedServer(answer(b"yes", status=201, x_sent="a"), answer(b"again")) as server,
        httpx.AsyncClient(transport=ConnectionPool(aiohttp.ClientSession)) as client,
    ):
        first = await client.post(server.base_url, content=content, headers={"x-asked": "b"})
        second = await client.get(server.base_url)
    assert (first.status_code, first.content, first.headers["x-sent"]) == (201, b"yes", "a")
    assert second.content == b"again"
    assert server.requests[0].body == content
    assert server.requests[0].header("x-asked") == "b"
    assert server.requests[1].header("transfer-encoding") is None
    assert server.connections == 1


async def test_a_failed_call_is_an_error_of_httpx_with_its_cause() -> None:
    cut_short = closes(head(content_length=10) + b"half")
    async with (
        ScriptedServer(cut_short) as server,
        httpx.AsyncClient(transport=ConnectionPool(aiohttp.ClientSession)) as client,
    ):
        with pytest.raises(httpx.TransportError) as broken_off:
            await client.get(server.base_url)
        with pytest.raises(httpx.TransportError) as refused:
            await client.get(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(broken_off.value.__cause__, aiohttp.ClientPayloadError)
    assert isinstance(refused.value.__cause__, aiohttp.ClientConnectorError)
