"""The calls of tools are read from replies of either dialect, however odd they are."""

import json
from typing import Any

import pytest

from batches.engine.records import Reply, ToolCall
from batches.engine.replies.replies import read_reply

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


def read(body: Any, endpoint: str) -> Reply:
    return read_reply(endpoint, status_code=200, headers={}, raw=json.dumps(body).encode())


def chat(tool_calls: Any) -> Reply:
    message = {"role": "assistant", "content": None, "tool_calls": tool_calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return read({"choices": [choice]}, CHAT)


def call(**function: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": function}


def test_the_calls_of_a_chat_are_read_in_order() -> None:
    found = chat([call(name="add", arguments='{"n":1}'), call(name="sub", arguments="no")])
    assert found.tool_calls == (
        ToolCall("call_1", "add", '{"n":1}'),
        ToolCall("call_1", "sub", "no"),
    )
    assert found.answer is None


def test_the_calls_of_a_response_are_read_in_order() -> None:
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"n":1}'},
        {"type": "message", "content": [{"type": "output_text", "text": "so"}]},
        {"type": "function_call", "call_id": "c2", "name": "sub", "arguments": "{}"},
    ]
    found = read({"status": "completed", "output": output}, RESPONSES)
    assert found.tool_calls == (ToolCall("c1", "add", '{"n":1}'), ToolCall("c2", "sub", "{}"))
    assert found.answer == "so"


@pytest.mark.parametrize(
    ("tool_calls", "expected"),
    [
        (None, ()),
        ([], ()),
        ("add", ()),
        ({"name": "add"}, (ToolCall("", "add", ""),)),
        (call(name="add", arguments="{}"), (ToolCall("call_1", "add", "{}"),)),
        ({"0": call(name="add", arguments="{}")}, (ToolCall("call_1", "add", "{}"),)),
        ([{"id": "c", "name": "add", "arguments": {}}], (ToolCall("c", "add", "{}"),)),
        ([call(name="add", arguments=None)], (ToolCall("call_1", "add", ""),)),
        ({}, ()),
        (5, ()),
        (True, ()),
        ([None, 5, "add"], ()),
        ([{"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}], ()),
        ([{"function": "add"}], ()),
        ([call(name="add", arguments={"n": 1})], (ToolCall("call_1", "add", '{"n": 1}'),)),
        ([call(name="add")], (ToolCall("call_1", "add", ""),)),
        ([{"id": 5, "function": {"name": None}}], (ToolCall("", "", ""),)),
    ],
)
def test_an_odd_call_does_not_cost_the_reply(
    tool_calls: Any, expected: tuple[ToolCall, ...]
) -> None:
    assert chat(tool_calls).tool_calls == expected


def test_the_legacy_call_of_a_function_is_read() -> None:
    message = {"content": None, "function_call": {"name": "add", "arguments": "{}"}}
    found = read({"choices": [{"message": message, "finish_reason": "function_call"}]}, CHAT)
    assert found.tool_calls == (ToolCall("", "add", "{}"),)
