"""A real server with a real, small model: whatever it says, every verdict keeps the rules.

Its answers are not predicted. It makes every mistake by itself: it ignores schemas at one endpoint,
calls no tool that it must call, and says "completed" of what it has cut off.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from batches.engine.errors import AnswerRejected, FailureKind, ProviderError
from batches.engine.prepare import prepare_prompt_request
from batches.engine.processor import process_prompt_batch
from batches.engine.records import Outcome, PreparedRequest, PromptSpec, Reply, Rung, ToolCall
from batches.engine.replies.replies import read_reply
from batches.engine.structured.follow_up import follow_up
from batches.engine.structured.ladder import MENDABLE
from batches.net.addresses import AddressPolicy
from batches.providers.client import ProviderClient
from tests.engine.makers import reply
from tests.owned_process import OwnedProcess
from tests.processes.llama_server import CALLS_AT_ONCE
from tests.server_process import Server

pytestmark = pytest.mark.timeout(900)

HERE = Path(__file__).resolve()
PYTHON = HERE.parent.parent.parent / ".venv-model" / "bin" / "python"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
BOTH = pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])

TOPICS = ("a city", "a river", "a bird", "a book", "a fruit")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "size": {"type": "integer"}},
    "required": ["name", "size"],
    "additionalProperties": False,
}
PARAMETERS = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}
TOOLS = ("weather", "population")


class LlamaServer(Server):
    """llama.cpp's own server."""

    def launch(self) -> OwnedProcess:
        assert PYTHON.exists(), f"there is no {PYTHON}; `make test-all` installs it"
        return OwnedProcess([str(PYTHON), str(HERE.with_name("llama_server.py")), str(self.port)])

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False).is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with LlamaServer() as server:
        yield f"http://127.0.0.1:{server.port}/v1"


def with_schema(endpoint: str) -> dict[str, Any]:
    described = {"name": "thing", "schema": SCHEMA}
    if endpoint == CHAT:
        return {"response_format": {"type": "json_schema", "json_schema": described}}
    return {"text": {"format": {"type": "json_schema", **described}}}


def with_tools(endpoint: str, choice: Any) -> dict[str, Any]:
    tools = [{"name": name, "parameters": PARAMETERS, "strict": True} for name in TOOLS]
    if endpoint == CHAT:
        return {
            "tools": [{"type": "function", "function": tool} for tool in tools],
            "tool_choice": choice,
        }
    return {"tools": [{"type": "function", **tool} for tool in tools], "tool_choice": choice}


def named(endpoint: str) -> dict[str, Any]:
    if endpoint == CHAT:
        return {"type": "function", "function": {"name": "weather"}}
    return {"type": "function", "name": "weather"}


def bodies(endpoint: str) -> Iterator[dict[str, Any]]:
    """Yield 30 requests: schemas, tight limits, tools that must and may be called, and neither."""
    limit = "max_tokens" if endpoint == CHAT else "max_output_tokens"
    schema = with_schema(endpoint)
    for number, topic in enumerate(TOPICS):
        said = f"Name {topic} and its size as JSON."
        yield {**_saying(endpoint, said), **schema, limit: 40}
        yield {**_saying(endpoint, f"{said} Be brief."), **schema, limit: 48}
        yield {**_saying(endpoint, said), **schema, limit: 2 + 3 * number}
        choice: Any = named(endpoint) if number % 2 else "required"
        # To the second question it says a word, and stops by itself.
        words = "Say no." if number > 2 else f"How is the weather near {topic}?"
        asked = _saying(endpoint, words)
        yield {**asked, **with_tools(endpoint, choice), limit: 4 + 15 * number}
        yield {**asked, **schema, **with_tools(endpoint, "auto"), limit: 30}
        yield {**_saying(endpoint, f"Say {topic}."), limit: 6}


def _saying(endpoint: str, text: str) -> dict[str, Any]:
    asked = [{"role": "user", "content": text}]
    common = {"model": "m", "temperature": 0.7, "seed": 7}
    return {**common, "messages": asked} if endpoint == CHAT else {**common, "input": text}


class Recorder:
    """Sends calls and keeps what came back."""

    def __init__(self, client: ProviderClient) -> None:
        self._client = client
        self.asked_again = 0
        self.errors: list[ProviderError] = []

    async def send(self, request: PreparedRequest) -> Reply:
        self.asked_again += len(request.rejected)
        try:
            return await self._client.send(request)
        except ProviderError as error:
            self.errors.append(error)
            raise


async def test_every_verdict_keeps_the_rules(base_url: str) -> None:
    kinds: set[FailureKind | None] = set()
    asked_again = 0
    for endpoint in (CHAT, RESPONSES):
        asked = list(bodies(endpoint))
        assert len(asked) == 30
        async with ProviderClient(base_url, addresses=AddressPolicy(["127.0.0.0/8"])) as client:
            recorder = Recorder(client)
            batch = await process_prompt_batch(
                asked, send=recorder.send, endpoint=endpoint, batch_size=CALLS_AT_ONCE
            )
        assert recorder.errors == [], "the server takes all that is sent, also what asks again"
        for body, outcome in zip(asked, batch.outcomes, strict=True):
            check(body, outcome, last_reply(endpoint, outcome))
            kinds.add(outcome.kind)
        asked_again += recorder.asked_again
    assert asked_again > 0
    assert {None, FailureKind.TRUNCATED} <= kinds


def last_reply(endpoint: str, outcome: Outcome) -> Reply:
    assert outcome.body is not None
    return read_reply(endpoint, status_code=200, headers={}, raw=outcome.body.encode())


def check(body: dict[str, Any], outcome: Outcome, said: Reply) -> None:
    """Check a verdict against what was asked and what the model said, by rules alone."""
    has_schema = "response_format" in body or "text" in body
    is_demanded = body.get("tool_choice", "auto") != "auto"
    if outcome.succeeded:
        check_success(body, outcome, said, has_schema=has_schema, is_demanded=is_demanded)
        return
    assert has_schema or is_demanded, "without a wish every answer is one"
    assert outcome.message
    limit = body.get("max_tokens") or body["max_output_tokens"]
    used_up = said.usage.output_tokens >= limit
    text = (said.answer or "").rstrip("` \n")
    if outcome.kind is FailureKind.TRUNCATED:
        assert used_up or "{" in text
    else:
        assert outcome.kind in MENDABLE
        assert outcome.calls > 1, "what another try may mend is asked for again"
        assert not used_up or text.endswith(("}", "]")), "what reached its limit is cut"


def check_success(
    body: dict[str, Any], outcome: Outcome, said: Reply, *, has_schema: bool, is_demanded: bool
) -> None:
    if is_demanded:
        assert said.tool_calls
    for call in said.tool_calls:
        assert call.name in TOOLS
        assert jsonschema_rs.is_valid(PARAMETERS, json.loads(call.arguments))
    if has_schema and not said.tool_calls:
        assert jsonschema_rs.is_valid(SCHEMA, outcome.parsed)
        if outcome.rung is Rung.PARSED:
            assert json.loads(said.answer or "") == outcome.parsed
    if not has_schema and "tools" not in body:
        assert (outcome.rung, outcome.parsed) == (None, None)


ODD_ANSWERS = [
    reply(None),
    reply("<think>no</think>prose"),
    reply(None, tool_calls=(ToolCall("c", "weather", '{"place": "Ulm"}'),)),
    reply("so", tool_calls=(ToolCall("", "weather", '{"pla'), ToolCall("", "population", ""))),
    reply(None, tool_calls=(ToolCall("c", "weather", "no"), ToolCall("c", "weather", "[1]"))),
    reply(None, tool_calls=(ToolCall("c", "unknown", "{}"),)),
]


@BOTH
@pytest.mark.parametrize("number", range(len(ODD_ANSWERS)))
@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_the_server_takes_every_question_that_asks_again(
    base_url: str, endpoint: str, number: int, choice: str
) -> None:
    """Ask a third time, as after two answers of no use, since the server checks old items too."""
    limit = "max_tokens" if endpoint == CHAT else "max_output_tokens"
    body = {**_saying(endpoint, "Weather?"), **with_tools(endpoint, choice), limit: 1}
    fault = AnswerRejected(FailureKind.SCHEMA_VIOLATION, "it does not fit")
    asked = prepare_prompt_request(PromptSpec(0, "p", body), endpoint=endpoint, defaults={})
    assert isinstance(asked, PreparedRequest)
    again = follow_up(follow_up(asked, ODD_ANSWERS[number], fault), ODD_ANSWERS[number - 1], fault)
    async with ProviderClient(base_url, addresses=AddressPolicy(["127.0.0.0/8"])) as client:
        assert (await client.send(again)).status_code == 200
