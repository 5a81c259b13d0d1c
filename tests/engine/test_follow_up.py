"""What is asked again is the same conversation, the answer, and what is wrong with it."""

import json
from typing import Any

import pytest

from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.records import RejectedAnswer, Reply, ToolCall, ToolDemand
from batches.engine.structured.follow_up import MAX_QUOTED_CHARS, follow_up
from tests.engine.makers import MODEL, reply, request

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
FAULT = AnswerRejected(FailureKind.SCHEMA_VIOLATION, "n: é is not of type integer")
MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


OFFERED = ToolDemand(frozenset({"add"}))


def asked(
    body: dict[str, Any], to: Reply, endpoint: str = CHAT, tools: ToolDemand = OFFERED
) -> dict[str, Any]:
    content = json.dumps({"model": MODEL, "top_p": 0.5, **body}).encode()
    again = follow_up(request(3, endpoint=endpoint, content=content, tools=tools), to, FAULT)
    assert (again.index, again.endpoint, len(again.rejected)) == (3, endpoint, 1)
    sent: dict[str, Any] = json.loads(again.content)
    assert (sent.pop("model"), sent.pop("top_p")) == (MODEL, 0.5)
    return sent


def test_a_chat_goes_on_with_the_answer_and_its_faults() -> None:
    sent = asked({"messages": MESSAGES}, reply('{"n": "é"}'))
    assert sent["messages"][:3] == [*MESSAGES, {"role": "assistant", "content": '{"n": "é"}'}]
    [complaint] = sent["messages"][3:]
    assert complaint["role"] == "user"
    assert FAULT.message in complaint["content"]


def test_each_answer_that_was_sent_back_is_kept_with_its_errors() -> None:
    first = follow_up(request(content=b'{"messages": []}', tools=OFFERED), reply("one"), FAULT)
    calls = (ToolCall("c", "add", '{"n": "é"}'),)
    second = follow_up(first, reply(None, tool_calls=calls), FAULT)
    assert second.rejected == (
        RejectedAnswer("one", FAULT.message),
        RejectedAnswer('add({"n": "é"})', FAULT.message),
    )


@pytest.mark.parametrize(
    "given",
    [
        "u",
        [{"role": "user", "content": "u"}],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]}],
    ],
)
def test_every_item_of_a_response_is_complete(given: Any) -> None:
    sent = asked({"input": given}, reply("no"), RESPONSES)["input"]
    assert [(item["type"], item["role"]) for item in sent] == [
        ("message", "user"),
        ("message", "assistant"),
        ("message", "user"),
    ]
    assert sent[0]["content"] == [{"type": "input_text", "text": "u"}]
    assert sent[1]["content"] == [{"type": "output_text", "annotations": [], "text": "no"}]
    assert (sent[1]["id"][:4], sent[1]["status"]) == ("msg_", "completed")
    [complaint] = sent[2]["content"]
    assert complaint["type"] == "input_text"
    assert FAULT.message in complaint["text"]


def test_items_that_are_no_messages_and_what_a_message_has_are_left_as_they_are() -> None:
    given = [
        {"type": "item_reference", "id": "msg_1"},
        {"role": "assistant", "content": "a", "id": "msg_2", "status": "incomplete"},
        {"role": "developer", "content": "d"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
    ]
    sent = asked({"input": given}, reply("no"), RESPONSES)["input"]
    assert (sent[0], sent[3]) == (given[0], given[3])
    assert (sent[1]["id"], sent[1]["status"]) == ("msg_2", "incomplete")
    assert (sent[2]["type"], sent[2]["content"][0]["type"]) == ("message", "input_text")


@pytest.mark.parametrize("answer", [None, "", " \n"])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_roles_take_turns_even_if_nothing_was_said(answer: str | None, endpoint: str) -> None:
    field = "messages" if endpoint == CHAT else "input"
    sent = asked({field: MESSAGES}, reply(answer), endpoint)
    assert [item["role"] for item in sent[field]] == ["system", "user", "assistant", "user"]
    assert all(item["content"] for item in sent[field])


def test_every_call_of_a_tool_is_answered() -> None:
    calls = (ToolCall("c1", "add", "{}"), ToolCall("c2", "add", '{"n":1}'))
    answered = reply(None, tool_calls=calls)
    chat = asked({"messages": MESSAGES}, answered)["messages"][2:]
    assert [call["id"] for call in chat[0]["tool_calls"]] == ["c1", "c2"]
    assert chat[0]["tool_calls"][1]["function"] == {"name": "add", "arguments": '{"n":1}'}
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


def test_calls_without_an_id_of_their_own_get_one() -> None:
    calls = (ToolCall("", "add", "{}"), ToolCall("c", "add", "{}"), ToolCall("c", "add", "{}"))
    sent = asked({"messages": MESSAGES}, reply(None, tool_calls=calls))["messages"][2:]
    ids = [call["id"] for call in sent[0]["tool_calls"]]
    assert len(set(ids)) == 3
    assert all(ids)
    assert [item["tool_call_id"] for item in sent[1:]] == ids


@pytest.mark.parametrize("arguments", ["", "no", "[1]", '{"n": 1', "[" * 100_000])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_arguments_that_no_template_can_read_are_quoted_in_the_complaint(
    arguments: str, endpoint: str
) -> None:
    answered = reply(None, tool_calls=(ToolCall("c", "add", arguments),))
    if endpoint == CHAT:
        call, result = asked({"messages": MESSAGES}, answered)["messages"][2:]
        assert call["tool_calls"][0]["function"]["arguments"] == "{}"
        assert arguments[:1000] in result["content"]
    else:
        call, result = asked({"input": "u"}, answered, RESPONSES)["input"][1:]
        assert (call["type"], call["arguments"]) == ("function_call", "{}")
        assert arguments[:1000] in result["output"]


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_call_of_a_tool_that_was_not_offered_is_told_in_words(endpoint: str) -> None:
    field = "messages" if endpoint == CHAT else "input"
    answered = reply(None, tool_calls=(ToolCall("c", "unknown", '{"n":1}'),))
    sent = asked({field: MESSAGES}, answered, endpoint)[field]
    assert [item["role"] for item in sent] == ["system", "user", "assistant", "user"]
    assert 'unknown({"n":1})' in json.loads(json.dumps(str(sent[2]["content"])))


def test_a_call_that_is_demanded_is_asked_for_by_name() -> None:
    demanded = ToolDemand(frozenset({"add"}), required=True, restricted=True)
    sent = asked({"messages": MESSAGES}, reply("prose"), tools=demanded)
    assert "call of one of these tools" in sent["messages"][-1]["content"]
    assert "add" in sent["messages"][-1]["content"]


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_thoughts_are_not_sent_back(endpoint: str) -> None:
    field = "messages" if endpoint == CHAT else "input"
    for answer in (
        "<think>long</think>no",
        "<|channel|>analysis<|message|>long<|end|><|start|>assistant<|channel|>final<|message|>no",
    ):
        sent = asked({field: MESSAGES}, reply(answer), endpoint)[field][2]["content"]
        assert (sent if endpoint == CHAT else sent[0]["text"]) == "no"
