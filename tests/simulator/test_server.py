"""The provider over a real socket, as its clients meet it."""

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema_rs
import pytest

from simulator import Behaviour, SimulatedProvider
from tests.waiting import wait_until

PATIENCE = 30.0

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CHAT_FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}

# After so long without an answer a call counts as never answered.
SILENCE = 1.0


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=provider.base_url, timeout=PATIENCE, trust_env=False) as client:
        yield client


@pytest.fixture
async def async_client(provider: SimulatedProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=provider.base_url, timeout=PATIENCE, trust_env=False
    ) as client:
        yield client


def chat_body(prompt: str, **options: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": prompt}], **options}


def chat(client: httpx.Client, prompt: str, **options: Any) -> httpx.Response:
    return client.post("/chat/completions", json=chat_body(prompt, **options))


def control(provider: SimulatedProvider, path: str) -> str:
    return provider.base_url.removesuffix("/v1") + f"/_simulator/{path}"


async def until(condition: Callable[[], bool]) -> None:
    """Waits for the condition, which another thread brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110, no event crosses the threads
            await asyncio.sleep(0.005)


# --- good replies ---


def test_a_chat_completion_has_the_shape_that_clients_expect(client: httpx.Client) -> None:
    response = chat(client, "Hello there")
    reply = response.json()
    assert response.status_code == 200
    assert response.headers["x-request-id"].startswith("req_")
    assert reply["id"].startswith("chatcmpl-")
    assert (reply["object"], reply["model"]) == ("chat.completion", "small")
    assert abs(reply["created"] - time.time()) < 3600
    (choice,) = reply["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert (choice["message"]["role"], choice["message"]["refusal"]) == ("assistant", None)
    assert 20 <= len(choice["message"]["content"].split()) <= 60
    usage = reply["usage"]
    assert usage["prompt_tokens"] == 3
    assert usage["completion_tokens"] == -(-len(choice["message"]["content"]) // 4)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_response_has_the_shape_that_clients_expect(client: httpx.Client) -> None:
    reply = client.post("/responses", json={"model": "small", "input": "Hello there"}).json()
    assert (reply["object"], reply["status"]) == ("response", "completed")
    (message,) = reply["output"]
    assert (message["type"], message["role"]) == ("message", "assistant")
    (part,) = message["content"]
    assert part["type"] == "output_text"
    usage = reply["usage"]
    assert usage["input_tokens"] == 3
    assert usage["output_tokens"] == -(-len(part["text"]) // 4)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_embeddings_have_the_shape_that_clients_expect(client: httpx.Client) -> None:
    body = {"model": "vectors", "input": ["one", "two"], "dimensions": 8}
    reply = client.post("/embeddings", json=body).json()
    assert reply["object"] == "list"
    assert [item["index"] for item in reply["data"]] == [0, 1]
    assert [len(item["embedding"]) for item in reply["data"]] == [8, 8]
    assert reply["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_embeddings_may_be_asked_for_in_base64(client: httpx.Client) -> None:
    body = {"model": "vectors", "input": "one", "dimensions": 4}
    floats = client.post("/embeddings", json=body).json()["data"][0]["embedding"]
    packed = client.post("/embeddings", json={**body, "encoding_format": "base64"}).json()
    unpacked = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert unpacked == pytest.approx(floats)


@pytest.mark.parametrize("given", ["one", ["one"], [1, 2, 3], [[1, 2, 3]]])
def test_embeddings_take_texts_and_tokens(client: httpx.Client, given: object) -> None:
    reply = client.post("/embeddings", json={"model": "vectors", "input": given})
    assert len(reply.json()["data"][0]["embedding"]) == Behaviour().embedding_dimensions


def test_equal_prompts_get_equal_answers_even_from_another_provider(client: httpx.Client) -> None:
    with (
        SimulatedProvider() as second,
        httpx.Client(base_url=second.base_url, trust_env=False) as other,
    ):
        replies = [chat(client, "a"), chat(client, "a"), chat(other, "a")]
    texts = [reply.json()["choices"][0]["message"]["content"] for reply in replies]
    assert len(set(texts)) == 1
    assert chat(client, "b").json()["choices"][0]["message"]["content"] not in texts


def test_the_models_are_listed(client: httpx.Client, provider: SimulatedProvider) -> None:
    def listed() -> list[str]:
        return [model["id"] for model in client.get("/models").json()["data"]]

    assert listed() == ["simulated-small"]
    provider.behaviour = Behaviour(models=["small", "large"])
    assert listed() == ["small", "large"]


# --- structured output ---


def test_a_chat_answer_fits_the_schema_that_was_sent(client: httpx.Client) -> None:
    reply = chat(client, "Who?", response_format=CHAT_FORMAT).json()
    person = json.loads(reply["choices"][0]["message"]["content"])
    assert jsonschema_rs.is_valid(PERSON, person)


def test_a_response_fits_the_schema_that_was_sent(client: httpx.Client) -> None:
    format_ = {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}
    body = {"model": "small", "input": "Who?", "text": {"format": format_}}
    reply = client.post("/responses", json=body).json()
    assert jsonschema_rs.is_valid(PERSON, json.loads(reply["output"][0]["content"][0]["text"]))


def test_any_object_is_answered_with_an_object(client: httpx.Client) -> None:
    reply = chat(client, "As JSON, please", response_format={"type": "json_object"}).json()
    assert isinstance(json.loads(reply["choices"][0]["message"]["content"]), dict)


def test_any_object_has_to_be_asked_for_in_words(client: httpx.Client) -> None:
    response = chat(client, "Please", response_format={"type": "json_object"})
    assert response.status_code == 400
    assert "must contain the word 'json'" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "schema", [{"type": "bogus"}, {"type": "object", "$ref": "http://127.0.0.1:1/x"}]
)
def test_an_impossible_schema_is_refused(client: httpx.Client, schema: dict[str, Any]) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = chat(client, "Who?", response_format=format_)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["param"], error["code"]) == ("response_format", "invalid_json_schema")


def test_the_answer_form_is_a_knob(client: httpx.Client, provider: SimulatedProvider) -> None:
    provider.behaviour = Behaviour(answer_form="fenced")
    reply = chat(client, "Who?", response_format=CHAT_FORMAT).json()
    assert reply["choices"][0]["message"]["content"].startswith("```json\n")


def test_a_refusal_and_a_stopped_answer_say_so(client: httpx.Client) -> None:
    refused = chat(client, "[simulate: answer=refusal]").json()["choices"][0]
    assert (refused["message"]["content"], refused["finish_reason"]) == (None, "stop")
    assert refused["message"]["refusal"]
    cut = chat(client, "[simulate: answer=length]").json()["choices"][0]
    assert cut["finish_reason"] == "length"
    filtered = chat(client, "[simulate: answer=content_filter]").json()["choices"][0]
    assert filtered["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("form", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_stopped_response_is_incomplete(client: httpx.Client, form: str, reason: str) -> None:
    body = {"model": "small", "input": f"[simulate: answer={form}]"}
    reply = client.post("/responses", json=body).json()
    assert (reply["status"], reply["incomplete_details"]) == ("incomplete", {"reason": reason})


# --- refusals ---


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", b"{", None),
        ("/chat/completions", b"", None),
        ("/chat/completions", b"\xff", None),
        ("/chat/completions", b"[" * 100_000, None),
        ("/chat/completions", b'{"model": "m"}', "messages"),
        ("/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        ("/chat/completions", b'{"model": "m", "messages": []}', "messages"),
        ("/chat/completions", b'{"model": "m", "messages": [{"content": "x"}]}', "messages.0.role"),
        ("/responses", b'{"model": "m"}', "input"),
        ("/embeddings", b'{"model": "m", "input": ""}', "input"),
        ("/embeddings", b'{"model": "m", "input": []}', "input"),
        ("/embeddings", b'{"model": "m", "input": "x", "dimensions": 0}', "dimensions"),
    ],
)
def test_a_bad_body_is_refused_by_the_name_of_its_fault(
    client: httpx.Client, path: str, body: bytes, param: str | None
) -> None:
    response = client.post(path, content=body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_streaming_is_refused(client: httpx.Client) -> None:
    response = chat(client, "x", stream=True)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "stream")


def test_an_unknown_address_is_answered_in_the_error_envelope(client: httpx.Client) -> None:
    response = client.post("/completely/unknown")
    assert response.status_code == 404
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def test_only_the_right_key_is_let_in(client: httpx.Client, provider: SimulatedProvider) -> None:
    provider.behaviour = Behaviour(api_key="right")
    statuses = [
        client.post("/chat/completions", json=chat_body("x"), headers=headers).status_code
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer right"})
    ]
    assert statuses == [401, 401, 200]
    assert client.get("/models").status_code == 401
    assert chat(client, "x").json()["error"]["code"] == "invalid_api_key"


def test_an_unknown_model_is_refused(client: httpx.Client, provider: SimulatedProvider) -> None:
    provider.behaviour = Behaviour(models=["large"])
    response = chat(client, "x")
    error = response.json()["error"]
    assert response.status_code == 404
    assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_more_calls_than_the_limit_are_refused_with_its_state(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    # One call in a thousand seconds: the bucket does not refill while this runs.
    provider.behaviour = Behaviour(requests_per_second=0.001, burst=2)
    first, second, third = (chat(client, f"prompt {number}") for number in range(3))
    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    remaining = [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, third)]
    assert remaining == ["1", "0"]
    assert "m" in third.headers["x-ratelimit-reset-requests"]
    assert 900 < int(third.headers["retry-after"]) <= 1000
    assert 900_000 < int(third.headers["retry-after-ms"]) <= 1_000_000
    assert third.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_silent_provider_does_not_tell_of_its_limit(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    provider.behaviour = Behaviour(
        requests_per_second=0.001, announce_limits=False, retry_after=False
    )
    replies = [chat(client, "x") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 429]
    names = {name for reply in replies for name in reply.headers}
    assert not {name for name in names if name.startswith(("retry", "x-ratelimit"))}


def test_the_limit_refills(client: httpx.Client, provider: SimulatedProvider) -> None:
    provider.behaviour = Behaviour(requests_per_second=50, burst=1)
    assert chat(client, "x").status_code == 200
    wait_until(lambda: chat(client, "x").status_code == 200)


def test_calls_that_were_not_let_in_do_not_use_up_the_script_of_their_prompt(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    provider.behaviour = Behaviour(models=["large"])
    prompt = "[simulate: status=503 times=1]"
    assert chat(client, prompt).status_code == 404
    provider.behaviour = Behaviour()
    assert [chat(client, prompt).status_code for _ in range(2)] == [503, 200]
    assert provider.calls[prompt] == 3


# --- directives and faults ---


def test_a_prompt_may_script_its_failures(client: httpx.Client) -> None:
    prompt = "[simulate: status=500 times=2]"
    assert [chat(client, prompt).status_code for _ in range(3)] == [500, 500, 200]
    assert chat(client, "another prompt").status_code == 200


def test_the_directive_is_found_in_the_last_of_several_messages(client: httpx.Client) -> None:
    messages = [
        {"role": "system", "content": "[simulate: status=500] is what users write"},
        {"role": "user", "content": [{"type": "text", "text": "first"}]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "[simulate: status=418]"},
    ]
    response = client.post("/chat/completions", json={"model": "m", "messages": messages})
    assert response.status_code == 418


def test_a_scripted_refusal_carries_its_code_and_its_pause(client: httpx.Client) -> None:
    response = chat(client, "[simulate: status=429 code=insufficient_quota retry_after=0.2]")
    assert (response.status_code, response.headers["retry-after"]) == (429, "0.2")
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")


def test_a_wrong_directive_is_answered_with_an_explanation(client: httpx.Client) -> None:
    response = chat(client, "[simulate: statsu=500]")
    assert response.status_code == 400
    assert "unknown option 'statsu'" in response.json()["error"]["message"]


def test_a_slow_answer_takes_its_time(client: httpx.Client) -> None:
    began = time.monotonic()
    assert chat(client, "[simulate: latency=0.3]").status_code == 200
    assert time.monotonic() - began > 0.29


@pytest.mark.parametrize("kind", ["truncated", "html", "empty", "invalid_utf8", "deep"])
def test_a_broken_body_is_no_json(client: httpx.Client, kind: str) -> None:
    response = chat(client, f"[simulate: body={kind}]")
    assert response.status_code == 200
    with pytest.raises((ValueError, RecursionError)):
        json.loads(response.content)


def test_a_broken_body_may_have_an_error_status(client: httpx.Client) -> None:
    response = chat(client, "[simulate: status=502 body=html]")
    assert response.status_code == 502
    assert response.headers["content-type"].startswith("text/html")


def test_a_body_may_have_the_wrong_shape(client: httpx.Client) -> None:
    assert "choices" not in chat(client, "[simulate: body=wrong_shape]").json()


@pytest.mark.parametrize(("kind", "character"), [("nul", "\x00"), ("surrogate", "\ud800")])
def test_a_body_may_hold_what_databases_refuse(
    client: httpx.Client, kind: str, character: str
) -> None:
    reply = chat(client, f"[simulate: body={kind}]").json()
    assert character in reply["choices"][0]["message"]["content"]


def test_a_body_may_hold_what_is_no_number(client: httpx.Client) -> None:
    usage = chat(client, "[simulate: body=nan]").json()["usage"]
    assert usage["total_tokens"] != usage["total_tokens"]


def test_embeddings_break_in_the_same_ways(client: httpx.Client) -> None:
    body = {"model": "vectors", "input": "[simulate: body=nul]"}
    assert "\x00" in client.post("/embeddings", json=body).json()["model"]


def test_a_huge_body_is_streamed(client: httpx.Client) -> None:
    with client.stream(
        "POST", "/chat/completions", json=chat_body("[simulate: body=huge mib=3]")
    ) as response:
        size = sum(len(piece) for piece in response.iter_bytes())
    assert "content-length" not in response.headers
    assert size > 3 * 2**20


def test_a_client_may_leave_in_the_midst_of_a_huge_body(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    with client.stream(
        "POST", "/chat/completions", json=chat_body("[simulate: body=huge mib=64]")
    ) as response:
        next(response.iter_raw())
    wait_until(lambda: provider.by_status["abandoned"] == 1)
    assert provider.in_flight == 0


def test_a_gzip_bomb_is_small_until_it_is_opened(client: httpx.Client) -> None:
    response = chat(client, "[simulate: body=gzip_bomb mib=5]")
    assert int(response.headers["content-length"]) < 20_000
    assert len(response.content) > 5 * 2**20
    assert response.json()["object"] == "chat.completion"


def test_a_trickling_body_does_not_end(provider: SimulatedProvider) -> None:
    with (
        httpx.Client(base_url=provider.base_url, timeout=PATIENCE, trust_env=False) as client,
        client.stream(
            "POST", "/chat/completions", json=chat_body("[simulate: body=trickle]")
        ) as response,
    ):
        pieces = response.iter_raw()
        start = b"".join(next(pieces) for _ in range(3))
        assert len(start) < int(response.headers["content-length"])
    wait_until(lambda: provider.by_status["abandoned"] == 1)


def test_a_body_may_be_longer_than_announced(client: httpx.Client) -> None:
    response = chat(client, "[simulate: body=short_content_length]")
    with pytest.raises(json.JSONDecodeError):
        response.json()
    # Over another connection: what is left over on the first one spoils it.
    with httpx.Client(base_url=client.base_url) as another:
        assert chat(another, "next").status_code == 200


def test_a_body_may_be_shorter_than_announced(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        chat(client, "[simulate: body=long_content_length]")


def test_a_connection_may_be_reset(client: httpx.Client, provider: SimulatedProvider) -> None:
    with pytest.raises(httpx.NetworkError, match="reset"):
        chat(client, "[simulate: reset]")
    assert provider.by_status == {"disconnected": 1}


def test_a_call_may_never_be_answered(client: httpx.Client, provider: SimulatedProvider) -> None:
    waiting = httpx.Timeout(PATIENCE, read=SILENCE)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/chat/completions", json=chat_body("[simulate: hang]"), timeout=waiting)
    wait_until(lambda: provider.by_status["abandoned"] == 1)
    assert provider.in_flight == 0


def test_answers_are_held_until_they_are_released(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    with ThreadPoolExecutor(3) as pool:
        with provider.holding("held", after=1):
            calls = [pool.submit(chat, client, f"held {number}") for number in range(3)]
            assert chat(client, "free").status_code == 200
            wait_until(lambda: provider.calls.total() == 4 and provider.in_flight == 2)
            wait_until(lambda: sum(call.done() for call in calls) == 1)
        assert [call.result().status_code for call in calls] == [200] * 3
    assert chat(client, "held no more").status_code == 200
    assert provider.by_status == {"200": 5}


def test_who_stops_waiting_for_a_held_answer_is_noticed(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    waiting = httpx.Timeout(PATIENCE, read=SILENCE)
    with provider.holding():
        with pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=chat_body("hello"), timeout=waiting)
        wait_until(lambda: provider.by_status["abandoned"] == 1)


def test_a_redirect_leads_where_the_prompt_says(client: httpx.Client) -> None:
    response = chat(client, "[simulate: redirect=http://127.0.0.1:1/elsewhere]")
    assert response.status_code == 307
    assert response.headers["location"] == "http://127.0.0.1:1/elsewhere"


# --- the ledger ---


async def test_calls_are_counted_when_they_arrive(
    async_client: httpx.AsyncClient, provider: SimulatedProvider
) -> None:
    prompt = "[simulate: latency=3600]"
    call = asyncio.create_task(async_client.post("/chat/completions", json=chat_body(prompt)))
    await until(lambda: provider.calls[prompt] == 1)
    assert provider.in_flight == 1
    call.cancel()
    await until(lambda: provider.in_flight == 0)
    assert provider.by_status == {"abandoned": 1}


async def test_the_peak_is_the_most_calls_at_once(
    async_client: httpx.AsyncClient, provider: SimulatedProvider
) -> None:
    calls = [
        asyncio.create_task(
            async_client.post("/chat/completions", json=chat_body("[simulate: hang]"))
        )
        for _ in range(7)
    ]
    await until(lambda: provider.in_flight == 7)
    for call in calls:
        call.cancel()
    await until(lambda: provider.in_flight == 0)
    assert (await async_client.post("/chat/completions", json=chat_body("x"))).status_code == 200
    assert provider.in_flight_peak == 7


def test_a_reset_forgets_the_calls_and_keeps_the_knobs(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    provider.behaviour = Behaviour(models=["small"])
    prompt = "[simulate: status=500 times=1]"
    assert [chat(client, prompt).status_code for _ in range(2)] == [500, 200]
    provider.reset()
    assert (provider.calls, provider.by_status, provider.in_flight_peak) == ({}, {}, 0)
    assert provider.behaviour == Behaviour(models=["small"])
    assert [chat(client, prompt).status_code for _ in range(2)] == [500, 200]


def test_another_process_may_read_the_ledger(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    for prompt in ("a", "a", "[simulate: status=500]"):
        chat(client, prompt)
    assert client.get(control(provider, "calls")).json() == {"a": 2, "[simulate: status=500]": 1}
    stats = client.get(control(provider, "stats")).json()
    assert stats.pop("admitted_s") >= 0
    assert stats == {
        "calls": 3,
        "in_flight": 0,
        "in_flight_peak": 1,
        "by_status": {"200": 2, "500": 1},
        "admitted": 3,
        "tokens": 0,
    }
    client.post(control(provider, "reset"))
    assert client.get(control(provider, "calls")).json() == {}


def test_another_process_may_turn_the_knobs(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    changed = client.post(control(provider, "behaviour"), json={"error_rate": "503=1", "seed": 4})
    assert (changed.status_code, changed.json()["seed"]) == (200, 4)
    assert provider.behaviour == Behaviour(error_rate="503=1", seed=4)
    assert client.get(control(provider, "behaviour")).json() == changed.json()
    assert chat(client, "x").status_code == 503


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"latencey": "1"}', "unknown option 'latencey'"),
        (b'{"latency": "soon"}', "latency: 'soon' is not a latency"),
        (b"[]", "write the options as a JSON object"),
        (b"{", "EOF"),
    ],
)
def test_a_wrong_knob_is_refused_and_changes_nothing(
    client: httpx.Client, provider: SimulatedProvider, body: bytes, complaint: str
) -> None:
    response = client.post(control(provider, "behaviour"), content=body)
    assert response.status_code == 400
    assert complaint in response.json()["error"]["message"]
    assert provider.behaviour == Behaviour()


def test_a_port_in_use_is_an_error_at_the_start(provider: SimulatedProvider) -> None:
    port = int(provider.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    with pytest.raises(OSError, match="in use"), SimulatedProvider(port=port):
        pass


async def test_the_provider_stops_although_calls_hang() -> None:
    with SimulatedProvider() as stopping:
        async with httpx.AsyncClient(base_url=stopping.base_url, trust_env=False) as client:
            call = asyncio.create_task(
                client.post(
                    "/chat/completions", json=chat_body("[simulate: hang]"), timeout=PATIENCE
                )
            )
            await until(lambda: stopping.in_flight == 1)
            await asyncio.to_thread(stopping.stop)
            with pytest.raises(httpx.TransportError):
                await call


def test_a_fixed_window_counts_down_whatever_is_taken(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    provider.behaviour = Behaviour(requests_per_second=0.002, window_seconds=1000)
    replies = [chat(client, f"prompt {number}") for number in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    resets = {reply.headers["x-ratelimit-reset-requests"][:3] for reply in replies}
    assert resets == {"16m"}
    assert 900 < int(replies[-1].headers["retry-after"]) <= 1000


def test_an_announced_limit_may_be_wrong(client: httpx.Client, provider: SimulatedProvider) -> None:
    provider.behaviour = Behaviour(requests_per_second=0.001, burst=1, announced_requests=3000)
    replies = [chat(client, "x") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 429]
    assert replies[1].headers["x-ratelimit-remaining-requests"] == "2999"


def test_calls_are_refused_by_chance_without_a_word_about_limits(
    client: httpx.Client, provider: SimulatedProvider
) -> None:
    provider.behaviour = Behaviour(refusal_rate=0.5, refusal_wait=3)
    replies = [chat(client, f"prompt {number}") for number in range(40)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert 5 < len(refused) < 35
    assert {reply.headers["retry-after"] for reply in refused} == {"3"}
    assert not any("x-ratelimit-limit-requests" in reply.headers for reply in replies)
