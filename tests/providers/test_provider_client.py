"""A call over a real socket: what is sent, what comes back."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from batches.engine.endpoints import ENDPOINTS
from batches.engine.errors import (
    AuthError,
    ConfigError,
    NetworkError,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.records import Usage
from batches.providers.client import ProviderClient
from tests.calling import LOOPBACK, failure, request, serving
from tests.scripted_server import (
    ScriptedServer,
    Step,
    answer,
    as_bytes,
    chat,
    chunked,
    closes,
    head,
    sends,
    waits_for,
)
from tests.waiting import PATIENCE_S, eventually

GOOD = as_bytes(chat())
REPLIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": chat(),
    "/v1/responses": {
        "output": [{"type": "message", "content": [{"text": "hello"}]}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "/v1/embeddings": {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 3}},
    "/v1/completions": {
        "choices": [{"text": "hello", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    },
    "/v1/moderations": {"results": [{"flagged": False}], "usage": {"prompt_tokens": 3}},
    "/v1/images/generations": {
        "data": [{"b64_json": "aGk="}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "/v1/images/edits": {"data": [{"url": "https://a.example"}], "usage": {"input_tokens": 3}},
    "/v1/videos": {"id": "video_1", "status": "queued", "usage": {"total_tokens": 3}},
}
WRITING = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/images/generations")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_call_brings_the_reply_of_its_endpoint(endpoint: str) -> None:
    body = REPLIES[endpoint]
    async with serving(answer(body, x_request_id="req_9")) as (server, client):
        reply = await client.send(request(b'{"model":"\xc3\xa9"}', endpoint))
    assert json.loads(reply.body) == body
    assert (reply.status_code, reply.request_id) == (200, "req_9")
    assert reply.answer == ("hello" if "hello" in json.dumps(body) else None)
    assert reply.usage == Usage(3, 2 if endpoint in WRITING else 0)
    [sent] = server.requests
    assert (sent.method, sent.path, sent.body) == ("POST", endpoint, b'{"model":"\xc3\xa9"}')


async def test_the_base_url_keeps_its_path_and_its_slash_does_not_matter() -> None:
    async with ScriptedServer(answer(chat())) as server:
        for path in ("", "/", "/v1/", "/openai/v1", "/openai/v1//"):
            base_url = f"http://127.0.0.1:{server.port}{path}"
            async with ProviderClient(base_url, addresses=LOOPBACK) as client:
                await client.send(request())
    assert [sent.path for sent in server.requests] == [
        "/chat/completions",
        "/chat/completions",
        "/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions",
    ]


async def test_a_call_sends_the_headers_it_needs_and_no_others() -> None:
    async with serving(answer(chat()), api_key="sk-1234") as (server, client):
        await client.send(request())
    [sent] = server.requests
    headers = {name.lower(): value for name, value in sent.headers}
    assert len(headers) == len(sent.headers)
    assert headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer sk-1234",
        "content-length": "13",
        "content-type": "application/json",
        "user-agent": "threephase",
    }


async def test_without_a_key_no_credentials_are_sent_even_if_the_machine_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(answer(chat())) as (server, client):
        await client.send(request())
    assert server.requests[0].header("authorization") is None


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer(answer(chat("from the proxy"))) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with serving(answer(chat("from the provider"))) as (_, client):
            reply = await client.send(request())
        assert reply.answer == "from the provider"
        assert proxy.connections == 0


async def test_a_cookie_is_not_given_back() -> None:
    async with serving(answer(chat(), set_cookie="a=b; Path=/")) as (server, client):
        await client.send(request())
        await client.send(request())
    assert [sent.header("cookie") for sent in server.requests] == [None, None]


async def test_calls_one_after_the_other_share_a_connection() -> None:
    async with serving(answer(chat())) as (server, client):
        for _ in range(5):
            await client.send(request())
        assert [sent.connection for sent in server.requests] == [1] * 5
    await eventually(lambda: server.open == 0)


async def test_a_connection_that_the_provider_closes_is_not_used_again() -> None:
    step = closes(head(content_length=len(GOOD), connection="close") + GOOD)
    async with serving(step) as (server, client):
        for _ in range(3):
            assert (await client.send(request())).answer == "hello"
    assert [sent.connection for sent in server.requests] == [1, 2, 3]


async def test_a_connection_that_is_closed_unannounced_costs_one_repetition_at_most() -> None:
    # The end of a connection may cross the next request on its way.
    async with serving(closes(head(content_length=len(GOOD)) + GOOD)) as (server, client):
        for _ in range(3):
            try:
                reply = await client.send(request())
            except NetworkError:
                reply = await client.send(request())
            assert reply.answer == "hello"
            await eventually(lambda: server.open == 0)
    assert [sent.connection for sent in server.requests] == [1, 2, 3]


async def test_connections_never_exceed_the_limit_and_reach_it() -> None:
    gate = asyncio.Event()
    async with serving(waits_for(gate, answer(chat())), connections=3) as (server, client):
        calls = [asyncio.create_task(client.send(request())) for _ in range(12)]
        await eventually(lambda: server.under_way == 3)
        gate.set()
        async with asyncio.timeout(PATIENCE_S):
            replies = await asyncio.gather(*calls)
    assert len(replies) == len(server.requests) == 12
    assert (server.most_open, server.most_under_way) == (3, 3)


async def test_concurrent_calls_get_their_own_answers() -> None:
    async def echo(visit: Any) -> None:
        text = json.loads(visit.request.body)["text"]
        # The later the call, the sooner its answer.
        await asyncio.sleep(0.002 * (10 - text))
        await answer(chat(f"answer {text}"))(visit)

    async with serving(echo, connections=10) as (_, client):
        replies = await asyncio.gather(
            *(client.send(request(json.dumps({"text": n}).encode())) for n in range(10))
        )
    assert [reply.answer for reply in replies] == [f"answer {n}" for n in range(10)]


@pytest.mark.parametrize(
    "step",
    [
        chunked(GOOD),
        chunked(*(GOOD[n : n + 1] for n in range(len(GOOD)))),
        sends(head(content_length=len(GOOD)), *(GOOD[n : n + 7] for n in range(0, len(GOOD), 7))),
        sends(b"HTTP/1.1 100 Continue\r\n\r\n" + head(content_length=len(GOOD)) + GOOD),
        closes(head(connection="close") + GOOD),
        closes(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD),
        answer(gzip.compress(GOOD), content_encoding="gzip"),
        answer(GOOD, content_type="text/html"),
    ],
    ids=["chunk", "chunks", "pieces", "100", "close", "1.0", "gzip", "html"],
)
async def test_a_reply_is_read_however_it_is_wrapped(step: Step) -> None:
    async with serving(step) as (_, client):
        assert (await client.send(request())).answer == "hello"


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, RequestRefused),
        (401, AuthError),
        (404, ConfigError),
        (429, RateLimited),
        (500, ServerError),
        (503, Overloaded),
    ],
)
async def test_a_status_becomes_the_error_it_stands_for(
    status: int, cls: type[ProviderError]
) -> None:
    body = {"error": {"message": "no", "code": "why"}}
    step = answer(body, status=status, X_Request_ID="req_9", Retry_After="7")
    async with serving(step) as (_, client):
        error = await failure(client)
    assert isinstance(error, cls)
    assert (error.status_code, error.code, error.request_id) == (status, "why", "req_9")
    assert error.retry_after_s == 7.0
    assert json.loads(error.body or "") == body


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
async def test_half_an_answer_that_an_error_ended_is_an_error_to_retry(reason: str) -> None:
    body = chat("half an")
    body["choices"][0]["finish_reason"] = reason
    async with serving(answer(body)) as (_server, client):
        error = await failure(client)
    assert type(error) is ServerError
    assert error.body is not None
    assert json.loads(error.body) == body
