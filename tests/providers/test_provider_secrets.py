"""The key of a provider goes to the provider and nowhere else; and what `models` brings."""

import base64
import json
import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest

from batches.engine.errors import AuthError, MalformedReply, NetworkError, ProviderError
from batches.engine.postprocess import postprocess_exchange
from batches.providers.client import ProviderClient
from tests.calling import LOOPBACK, failure, request, serving
from tests.engine.makers import exchange
from tests.scripted_server import (
    Step,
    answer,
    as_bytes,
    chat,
    closed_port,
    closes,
    echoes,
    head,
    sends,
)

KEY = "sk-canary-0123456789/abcdef+ghijkl="


@pytest.mark.parametrize(
    "key", ["sk-1\n", "sk-1\r\nHost: evil", "sk\x00", "sk 1", "sk-\xe9", "\tsk", "sk-1\x7f"]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="API key has characters") as caught:
        ProviderClient("https://api.example.com/v1", api_key=key)
    assert "sk" not in str(caught.value)


async def test_the_key_goes_to_the_provider() -> None:
    async with serving(answer(chat()), api_key=KEY) as (server, client):
        await client.send(request())
    assert server.requests[0].header("authorization") == f"Bearer {KEY}"


def slashed(body: object) -> bytes:
    r"""JSON as some servers write it, with \/ for a slash."""
    return as_bytes(body).replace(b"/", rb"\/")


ECHOES: dict[str, Callable[[str], Step]] = {
    "an answer": lambda key: answer(chat(f"You said {key}")),
    "an answer, slashed": lambda key: answer(slashed(chat(f"You said {key}"))),
    "a request id": lambda key: answer(chat(), x_request_id=key),
    "a header": lambda key: answer(chat(), x_echo=key),
    "a header that is none": lambda key: closes(b"HTTP/1.1 200 OK\r\nx: \x00" + key.encode()),
    "the name of a header": lambda key: sends(f"HTTP/1.1 200 OK\r\n{key} : x\r\n\r\n".encode()),
    "the status": lambda key: sends(f"HTTP/1.1 {key} OK\r\n\r\n".encode()),
    "the reason": lambda key: closes(f"HTTP/1.1 500 {key}\r\n\r\n".encode()),
    "another protocol": lambda key: closes(f"{key}\r\n\r\n".encode()),
    "a length": lambda key: sends(f"HTTP/1.1 200 OK\r\ncontent-length: {key}\r\n\r\n".encode()),
    "a chunk": lambda key: sends(head(transfer_encoding="chunked") + f"{key}\r\n".encode()),
    "an encoding": lambda key: answer(b"x", content_encoding=key),
    "a place": lambda key: answer(b"", status=307, location=f"http://example.com/{key}"),
    "an error": lambda key: answer({"error": {"message": key, "code": key}}, status=401),
    "an error, slashed": lambda key: answer(slashed({"error": {"message": key}}), status=400),
    "an error's id": lambda key: answer({"error": {}}, status=500, x_request_id=key),
    "a page": lambda key: answer(f"<p>{key}</p>".encode(), status=500),
    "a page for a reply": lambda key: answer(f"<p>{key}</p>".encode()),
    "a gateway's error": lambda key: answer({"error": {"message": key, "code": 429}}),
}


def in_pieces(text: str) -> Step:
    """A stream of events that has a few characters in each."""
    pieces = [text[place : place + 4] for place in range(0, len(text), 4)]
    deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events = b"".join(b"data: " + as_bytes(delta) + b"\n\n" for delta in deltas)
    return answer(events + b"data: [DONE]\n\n", content_type="text/event-stream")


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def raw_json(template: str, text: str) -> bytes:
    """JSON with a text in the place of @, as it stands."""
    return template.replace("@", text).encode()


CHAT = '{"choices": [{"message": {"content": "You said @"}, "finish_reason": "stop"}]}'
ERROR = '{"error": {"message": "no such key: @", "code": "@"}}'
# How servers spell what they echo; tests/secrets/test_secret_scrubber.py has more.
SPELT: dict[str, Callable[[str], str]] = {
    "escaped": escaped,
    "JSON in JSON": lambda key: escaped(key).replace("\\", "\\\\"),
    "percent": lambda key: quote(key, safe=""),
    "entities": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
}
ECHOES["pieces"] = lambda key: in_pieces(f"You said {key}, did you not")


def spelt(name: str, template: str, status: int) -> Callable[[str], Step]:
    return lambda key: answer(raw_json(template, SPELT[name](key)), status=status)


for name in SPELT:
    ECHOES[f"an answer: {name}"] = spelt(name, CHAT, 200)
    ECHOES[f"an error: {name}"] = spelt(name, ERROR, 401)
    ECHOES[f"a page: {name}"] = spelt(name, "<p>@", 502)


@pytest.mark.parametrize("key", [KEY, "sk-ab12"])
@pytest.mark.parametrize("make", ECHOES.values(), ids=ECHOES)
async def test_a_key_that_comes_back_is_not_kept(
    make: Callable[[str], Step], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(echoes(make), api_key=key) as (server, client):
            reply, error = None, None
            try:
                reply = await client.send(request())
            except ProviderError as caught:
                error = caught
    assert len(server.requests) == 1
    outcome = postprocess_exchange(exchange(request(), reply=reply, error=error))
    kept = repr(outcome) + repr(error) + str(error) + caplog.text
    assert key not in kept
    assert key not in kept.replace("\\", "")
    assert not any(spell(key)[-8:] in kept for spell in SPELT.values())


async def test_a_key_is_not_in_the_errors_of_a_connection() -> None:
    base_url = f"http://127.0.0.1:{closed_port()}/v1"
    async with ProviderClient(base_url, api_key=KEY, addresses=LOOPBACK) as client:
        error = await failure(client)
    assert isinstance(error, NetworkError)
    assert KEY not in repr(error)


def test_a_key_is_not_in_the_repr_of_a_client() -> None:
    client = ProviderClient("https://api.example.com/v1", api_key=KEY)
    assert KEY not in repr(client)


@pytest.mark.parametrize("key", ["x", "1", "EMPTY", "none", "null", "ollama", "content", "choices"])
async def test_a_key_that_is_none_leaves_the_answers_alone(key: str) -> None:
    # Servers of one's own want any key at all; it is a word like others.
    body = chat("x is 1: an EMPTY set, ollama, content and none of the choices", extra=None)
    async with serving(answer(body), api_key=key) as (_, client):
        reply = await client.send(request())
    assert json.loads(reply.body) == body


async def test_the_models_of_a_provider_are_listed() -> None:
    body = {"object": "list", "data": [{"id": "a"}, {"id": "b/c", "owned_by": "d"}]}
    async with serving(answer(body), api_key=KEY) as (server, client):
        assert await client.models() == ["a", "b/c"]
    [sent] = server.requests
    assert (sent.method, sent.path, sent.body) == ("GET", "/v1/models", b"")
    assert sent.header("authorization") == f"Bearer {KEY}"


async def test_a_provider_may_have_no_models() -> None:
    async with serving(answer({"data": []})) as (_, client):
        assert await client.models() == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"null", b"[]", b'"a"', b"{}", b'{"data": null}', b'{"data": "ab"}'),
        *(b'{"data": [1]}', b'{"data": [{}]}', b'{"data": {"a": 1}}', b"[" * 100_000, b"\xff"),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_list_of_models_is_malformed(body: bytes) -> None:
    async with serving(answer(body)) as (server, client):
        with pytest.raises(
            MalformedReply, match="/models did not return a list of models"
        ) as caught:
            await client.models()
    assert str(server.port) in caught.value.message


async def test_a_key_that_is_refused_is_told_when_models_are_asked_for() -> None:
    step = answer({"error": {"message": "bad key", "code": "invalid_api_key"}}, status=401)
    async with serving(step, api_key=KEY) as (_, client):
        with pytest.raises(AuthError, match="bad key"):
            await client.models()
