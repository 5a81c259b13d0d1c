"""What is asked again is the same conversation, the answer, and what is wrong with it."""

import json
from typing import Any

import pytest

from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.follow_up import MAX_QUOTED_CHARS, follow_up
from batches.engine.records import Endpoint, Reply, ToolCall
from tests.engine.makers import MODEL, reply, request

CHAT: Endpoint = "/v1/chat/completions"
RESPONSES: Endpoint = "/v1/responses"
FAULT = AnswerRejected(FailureKind.SCHEMA_VIOLATION, "n: é is not of type integer")
MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


def asked(body: dict[str, Any], to: Reply, endpoint: Endpoint = CHAT) -> dict[str, Any]:
    content = json.dumps({"model": MODEL, "top_p": 0.5, **body}).encode()
    again = follow_up(request(3, endpoint=endpoint, content=content), to, FAULT)
    assert (again.index, again.endpoint, again.asked_again) == (3, endpoint, 1)
    sent: dict[str, Any] = json.loads(again.content)
    assert (sent.pop("model"), sent.pop("top_p")) == (MODEL, 0.5)
    return sent


def test_a_chat_goes_on_with_the_answer_and_its_faults() -> None:
    sent = asked({"messages": MESSAGES}, reply('{"n": "é"}'))
    assert sent["messages"][:3] == [*MESSAGES, {"role": "assistant", "content": '{"n": "é"}'}]
    [complaint] = sent["messages"][3:]
    assert complaint["role"] == "user"
    assert FAULT.message in complaint["content"]


@pytest.mark.parametrize("given", ["u", [{"role": "user", "content": "u"}]])
def test_a_response_does_likewise(given: Any) -> None:
    sent = asked({"input": given}, reply("no"), RESPONSES)
    assert sent["input"][:2] == [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "no"},
    ]
    assert FAULT.message in sent["input"][2]["content"]


@pytest.mark.parametrize("answer", [None, "", " \n"])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_roles_take_turns_even_if_nothing_was_said(answer: str | None, endpoint: Endpoint) -> None:
    field = "messages" if endpoint == CHAT else "input"
    sent = asked({field: MESSAGES}, reply(answer), endpoint)
    assert [item["role"] for item in sent[field]] == ["system", "user", "assistant", "user"]
    assert all(item["content"] for item in sent[field])


def test_every_call_of_a_tool_is_answered() -> None:
    calls = (ToolCall("c1", "add", "{}"), ToolCall("c2", "add", "no"))
    answered = reply(None, tool_calls=calls)
    chat = asked({"messages": MESSAGES}, answered)["messages"][2:]
    assert [call["id"] for call in chat[0]["tool_calls"]] == ["c1", "c2"]
    assert chat[0]["tool_calls"][1]["function"] == {"name": "add", "arguments": "no"}
    assert [(item["role"], item["tool_call_id"]) for item in chat[1:]] == [
        ("tool", "c1"),
        ("tool", "c2"),
    ]
    items = asked({"input": "u"}, answered, RESPONSES)["input"][1:]
    assert [(item["type"], item["call_id"]) for item in items] == [
        ("function_call", "c1"),
        ("function_call", "c2"),
        ("function_call_output", "c1"),
        ("function_call_output", "c2"),
    ]


def test_what_is_quoted_is_bounded_and_can_be_sent() -> None:
    sent = asked({"messages": MESSAGES}, reply("\ud800" + "x" * 10 * MAX_QUOTED_CHARS))
    assert len(json.dumps(sent)) < 2 * MAX_QUOTED_CHARS
