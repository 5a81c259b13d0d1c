"""Tokens are read from whatever a provider counts, and estimated where it counts none."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.records import MAX_TOKENS, Usage
from batches.engine.replies.replies import read_reply
from batches.engine.replies.usage import count_of

CHAT = "/v1/chat/completions"
# 40 characters and the marks of a message are 14 tokens.
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 40}]}).encode()
READ = 14
WRITTEN = 3


def usage_of(usage: Any, *, content: Any = "y" * 12, asked: bytes = ASKED) -> Usage:
    body = {"choices": [{"message": {"content": content}}], "usage": usage}
    raw = json.dumps(body).encode()
    return read_reply(CHAT, status_code=200, headers={}, raw=raw, asked=asked).usage


@pytest.mark.parametrize(
    ("given", "count"),
    [
        *((1000, 1000), (1000.0, 1000), (999.2, 1000), (0, 0), (0.0, 0)),
        *(("1000", 1000), (" 1000 ", 1000), ("1000.0", 1000), ("1,000", 1000), ("1e3", 1000)),
        ("1,234,567", 1_234_567),
        *((10**30, MAX_TOKENS), (1e300, MAX_TOKENS), ("9" * 400, None)),
        *((None, None), (-1, None), ("-5", None), (math.nan, None), (math.inf, None)),
        *(("NaN", None), ("many", None), ("", None), ("1,00", None), ("1.000,0", None)),
        *((True, None), (False, None), ([1], None), ({"n": 1}, None)),
    ],
)
def test_a_count_is_read_in_every_spelling_of_a_number(given: Any, count: int | None) -> None:
    assert count_of(given) == count


@pytest.mark.parametrize("form", [int, float, str, lambda n: f"{n:,}", lambda n: f"{n}.0"])
def test_counts_of_every_form_count_alike(form: Any) -> None:
    usage = {
        "prompt_tokens": form(1000),
        "completion_tokens": form(2000),
        "prompt_tokens_details": {"cached_tokens": form(300)},
        "completion_tokens_details": {"reasoning_tokens": form(400)},
    }
    assert usage_of(usage) == Usage(1000, 2000, cached_tokens=300, reasoning_tokens=400)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 6}, Usage(5, 6)),
        ({"prompt_tokens": 5, "total_tokens": 11}, Usage(5, 6)),
        ({"completion_tokens": 6, "total_tokens": "11"}, Usage(5, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 6, "cached_tokens": 2}, Usage(5, 6, 2)),
        (
            {"prompt_tokens": 5, "completion_tokens": 6, "prompt_cache_hit_tokens": 2},
            Usage(5, 6, 2),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 300}, Usage(5, 295)),
        ({"prompt_tokens": 0, "completion_tokens": 6, "total_tokens": 11}, Usage(5, 6)),
        ({"inputTokens": 5, "outputTokens": 6, "totalTokens": 11}, Usage(5, 6)),
        ({"promptTokens": 5, "completionTokens": 6}, Usage(5, 6)),
        ({"promptTokenCount": 5, "candidatesTokenCount": 6}, Usage(5, 6)),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 6, "thoughtsTokenCount": 2},
            Usage(5, 8, reasoning_tokens=2),
        ),
        ([{"prompt_tokens": 5, "completion_tokens": 6}], Usage(5, 6)),
        ({"prompt_tokens": None, "input_tokens": 5, "completion_tokens": 6}, Usage(5, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": None}, Usage(5, 6)),
    ],
)
def test_a_count_is_found_under_every_name(usage: Any, expected: Usage) -> None:
    assert usage_of(usage) == expected


@pytest.mark.parametrize(
    ("usage", "read", "made"),
    [
        *((usage, READ, WRITTEN) for usage in (None, {}, [], "none", 7, [1, 2], {"tokens": 5})),
        ({"prompt_tokens": 0, "completion_tokens": 0}, READ, WRITTEN),
        ({"prompt_tokens": "?", "completion_tokens": -3}, READ, WRITTEN),
        ({"prompt_tokens": 5}, 5, WRITTEN),
        ({"completion_tokens": 6}, READ, 6),
        ({"completion_tokens": 6, "prompt_tokens": None}, READ, 6),
    ],
)
def test_what_is_not_counted_is_estimated_and_said_to_be(usage: Any, read: int, made: int) -> None:
    found = usage_of(usage)
    assert (found.input_tokens, found.output_tokens) == (read, made)
    assert found.is_estimated
    raw = json.dumps({"choices": [{"message": {"content": "y" * 12}}], "usage": usage}).encode()
    reply = read_reply(CHAT, status_code=200, headers={}, raw=raw, asked=ASKED)
    assert f"{read} in, {made} out is an estimate" in reply.notes[-1]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 15},
        {"total_tokens": 15},
        {"totalTokenCount": "15"},
    ],
)
def test_a_total_alone_counts_and_only_its_parts_are_estimated(usage: Any) -> None:
    assert usage_of(usage) == Usage(15 - WRITTEN, WRITTEN, is_estimated=True)
    assert usage_of(usage, content="y" * 400) == Usage(0, 15, is_estimated=True)
    assert usage_of(usage, content=None) == Usage(15, 0)


@pytest.mark.parametrize(
    "place",
    [
        {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        {"usage": None, "x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 6}},
        {"usage_metadata": {"prompt_token_count": 5, "candidates_token_count": 6}},
    ],
)
def test_a_count_is_found_in_every_place(place: dict[str, Any]) -> None:
    whole = {"choices": [{"message": {"content": "hello"}}], **place}
    event = {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}], **place}
    events = b'data: {"choices":[]}\n\ndata: ' + json.dumps(event).encode() + b"\n\n"
    for raw in (json.dumps(whole).encode(), events):
        got = read_reply(CHAT, status_code=200, headers={}, raw=raw, asked=ASKED)
        assert got.usage == Usage(5, 6)


def test_no_answer_needs_no_estimate() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 0}
    assert usage_of(usage, content=None) == Usage(5, 0)
    embedding = json.dumps({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 5}}).encode()
    asked = b'{"model": "m", "input": "hello"}'
    found = read_reply("/v1/embeddings", status_code=200, headers={}, raw=embedding, asked=asked)
    assert found.usage == Usage(5)


def test_a_picture_is_not_taken_for_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    parts = [{"type": "text", "text": "x" * 40}, picture]
    asked = json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode()
    assert usage_of(None, asked=asked).input_tokens == READ


def test_thoughts_and_calls_of_tools_are_written_too() -> None:
    call = {"id": "c", "function": {"name": "abcd", "arguments": "{}"}}
    message = {"content": None, "reasoning_content": "z" * 40, "tool_calls": [call]}
    raw = json.dumps({"choices": [{"message": message}]}).encode()
    found = read_reply(CHAT, status_code=200, headers={}, raw=raw, asked=ASKED)
    assert found.usage.output_tokens == 12


def test_an_estimate_remains_one_in_a_sum() -> None:
    assert (Usage(1, 1) + Usage(1, 1, is_estimated=True)).is_estimated
    assert not (Usage(1, 1) + Usage(1, 1)).is_estimated


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_count_is_more_than_there_is_room_for(value: Any) -> None:
    count = count_of(value)
    assert count is None or 0 <= count <= MAX_TOKENS
