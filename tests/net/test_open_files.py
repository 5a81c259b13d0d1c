"""A process that can open no more files blames no prompt for it."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from batches.engine.errors import Decision, Unreachable
from batches.engine.retry import RetryPolicy, decide
from batches.net.open_files import can_open, open_now, room_for
from batches.providers.client import ProviderClient
from tests.calling import LOOPBACK, failure, request
from tests.scripted_server import ScriptedServer, answer, chat, closed_port

ONCE = RetryPolicy(max_attempts=1)


@contextmanager
def limited_to(files: int) -> Iterator[None]:
    """Let this process open no file from this number on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_file_left() -> Iterator[None]:
    """Have no file left to open."""
    held: list[int] = []
    with limited_to(open_now()):
        try:
            while can_open():
                held.append(os.dup(0))
            yield
        finally:
            for descriptor in held:
                os.close(descriptor)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_call_for_which_no_file_is_left_costs_no_attempt(host: str) -> None:
    async with ScriptedServer(answer(chat("hello"))) as server:
        url = f"http://{host}:{server.port}/v1"
        async with ProviderClient(url, addresses=LOOPBACK) as client:
            with no_file_left():
                error = await failure(client)
            assert "too many open files" in error.message
            verdict = decide(error, attempts=9, retries=9, waited_s=0, policy=ONCE, chance=0)
            assert verdict.decision is Decision.RETRY
            assert (await client.send(request())).answer == "hello"


async def test_another_reason_for_no_connection_is_told_apart() -> None:
    async with ProviderClient(f"http://127.0.0.1:{closed_port()}", addresses=LOOPBACK) as client:
        error = await failure(client)
    assert type(error) is Unreachable


def test_the_limit_is_raised_to_what_the_connections_need() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2_000:
        pytest.skip(f"the system lets a process open only {hard} files")
    with limited_to(200):
        assert room_for(1_000) == 1_000
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft > 1_000
