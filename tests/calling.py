"""Calls of a ProviderClient to a ScriptedServer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from batches.engine.errors import ProviderError
from batches.engine.records import PreparedRequest
from batches.net.addresses import AddressPolicy
from batches.net.ways_out import WayOut
from batches.providers.client import ProviderClient
from tests.scripted_server import ScriptedServer, Step
from tests.waiting import PATIENCE_S

LOOPBACK = AddressPolicy(["127.0.0.0/8"])


def request(
    content: bytes = b'{"model":"m"}', endpoint: str = "/v1/chat/completions"
) -> PreparedRequest:
    return PreparedRequest(index=0, custom_id="a", endpoint=endpoint, content=content)


@asynccontextmanager
async def serving(
    *script: Step, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, ProviderClient]]:
    """A server that follows this script, and a client for it."""
    async with ScriptedServer(*script) as server:
        options = {"addresses": LOOPBACK, **options}
        async with ProviderClient(server.base_url, **options) as client:
            yield server, client


async def failure(client: ProviderClient) -> ProviderError:
    """The error of a call that must fail, and soon."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ProviderError) as caught:
            await client.send(request())
    return caught.value


def client_of(url: str, way_out: WayOut, **options: Any) -> ProviderClient:
    return ProviderClient(url, **{"addresses": LOOPBACK, **options}, way_out=way_out)


async def answered(url: str, way_out: WayOut, **options: Any) -> str | None:
    async with client_of(url, way_out, **options) as client:
        return (await client.send(request())).answer


async def error_at(url: str, way_out: WayOut, **options: Any) -> ProviderError:
    async with client_of(url, way_out, **options) as client:
        return await failure(client)
