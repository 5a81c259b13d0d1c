"""Files of prompts as lines: JSONL and plain text, and what both share."""

import io
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.endpoints import ENDPOINTS
from batches.engine.prepare import prompt_body
from batches.engine.records import MAX_CUSTOM_ID_CHARS
from batches.inputs.input_formats import InputFormat
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.request_lines import checked_id

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
BODY = {"messages": MESSAGES}
BOM = b"\xef\xbb\xbf"


def read(
    raw: bytes | io.BufferedReader,
    *,
    form: InputFormat = "jsonl",
    endpoint: str = CHAT,
    defaults: dict[str, Any] | None = None,
    max_line_bytes: int = 1_000_000,
) -> list[NewPrompt | LineError]:
    stream = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    options = InputOptions(
        endpoint=endpoint,
        defaults={"model": "m"} if defaults is None else defaults,
        max_line_bytes=max_line_bytes,
        format=form,
    )
    return list(read_prompts(stream, options))


def prompts(items: Iterable[NewPrompt | LineError]) -> list[NewPrompt]:
    """The items, every one of which must be a prompt."""
    found = list(items)
    assert [item for item in found if isinstance(item, LineError)] == []
    return [item for item in found if isinstance(item, NewPrompt)]


def faults(items: Iterable[NewPrompt | LineError]) -> list[tuple[int, str, str | None]]:
    """What is wrong: line, code, param."""
    return [(i.line, i.code, i.param) for i in items if isinstance(i, LineError)]


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def request_line(**changes: Any) -> bytes:
    """A line in the format of the OpenAI Batch API; a change to None takes a field away."""
    fields = {"custom_id": "a", "method": "POST", "url": CHAT, "body": BODY, **changes}
    return line(**{name: value for name, value in fields.items() if value is not None})


def test_a_line_of_the_batch_api_is_a_prompt() -> None:
    [prompt] = prompts(read(request_line(custom_id="mine")))
    assert (prompt.line, prompt.custom_id) == (1, "mine")
    assert json.loads(prompt.body) == BODY


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_short_line_is_a_prompt(endpoint: str) -> None:
    body = prompt_body("hi", endpoint)
    raw = b"\n".join(
        [
            line(prompt="hi"),
            line(prompt="hi", custom_id="mine", temperature=0),
            line(**body),
            line(**body, custom_id="also"),
        ]
    )
    got = prompts(read(raw, endpoint=endpoint))
    assert [prompt.custom_id for prompt in got] == ["line-1", "mine", "line-3", "also"]
    assert [json.loads(prompt.body) for prompt in got] == [
        body,
        {"temperature": 0, **body},
        body,
        body,
    ]


def test_a_line_of_text_is_a_prompt() -> None:
    got = prompts(read("first\n  second \n\ncaf\xe9 \U0001f600".encode(), form="text"))
    assert [(p.line, p.custom_id) for p in got] == [(1, "line-1"), (2, "line-2"), (4, "line-4")]
    assert [json.loads(p.body) for p in got] == [
        prompt_body(text, CHAT) for text in ("first", "second", "caf\xe9 \U0001f600")
    ]


def test_a_body_is_one_line_of_compact_json() -> None:
    raw = b'{"messages" : [ {"role": "user", "content": "caf\\u00e9\\n"} ] }'
    [prompt] = prompts(read(raw))
    assert prompt.body == '{"messages":[{"role":"user","content":"caf\xe9\\n"}]}'


@pytest.mark.parametrize("form", ["jsonl", "text"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("start", [b"", BOM])
def test_lines_may_end_and_files_begin_as_they_do_on_any_machine(
    form: InputFormat, end: bytes, start: bytes, *, last: bool
) -> None:
    lines = [b'{"prompt": "hi"}' if form == "jsonl" else b"hi"] * 3
    raw = start + end.join(lines) + (end if last else b"")
    got = prompts(read(raw, form=form))
    assert [prompt.line for prompt in got] == [1, 2, 3]
    assert {prompt.body for prompt in got} == {'{"messages":[{"role":"user","content":"hi"}]}'}


@pytest.mark.parametrize("form", ["jsonl", "text"])
def test_blank_lines_are_passed_over_but_counted(form: InputFormat) -> None:
    one = b'{"prompt": "hi"}' if form == "jsonl" else b"hi"
    raw = b"\n" + one + b"\n\r\n  \t \n" + one + b"\n\n"
    assert [prompt.line for prompt in prompts(read(raw, form=form))] == [2, 5]


@pytest.mark.parametrize("form", ["jsonl", "text"])
@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n \n", BOM, BOM + b"\n"])
def test_a_file_without_prompts_has_none(raw: bytes, form: InputFormat) -> None:
    assert read(raw, form=form) == []


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"not JSON", "invalid_json_line", "line"),
        (b"{", "invalid_json_line", "line"),
        (b'{"prompt": "hi"', "invalid_json_line", "line"),
        (b"{'prompt': 'hi'}", "invalid_json_line", "line"),
        (b'{"prompt": "hi"} {"prompt": "hi"}', "invalid_json_line", "line"),
        (b'{"prompt": "hi",}', "invalid_json_line", "line"),
        (b'{"prompt": "a\x00b"}', "invalid_json_line", "line"),
        (b"\x00", "invalid_json_line", "line"),
        (b"[]", "invalid_json_line", "line"),
        (b'"hi"', "invalid_json_line", "line"),
        (b"5", "invalid_json_line", "line"),
        (b"null", "invalid_json_line", "line"),
        (b'{"prompt": "a", "prompt": "b"}', "invalid_json_line", "line"),
        (b'{"prompt": "a", "x": {"y": 1, "y": 1}}', "invalid_json_line", "line"),
        (b'{"prompt": "a", "x": NaN}', "invalid_json_line", "line"),
        (b'{"prompt": "a", "x": -Infinity}', "invalid_json_line", "line"),
        (b'{"prompt": "a", "x": %s}' % (b"1" * 5000), "invalid_json_line", "line"),
        (b"[" * 100_000, "invalid_json_line", "line"),
        (b'{"a":' * 100_000, "invalid_json_line", "line"),
        (b'{"prompt": "a", "x": 1e400}', "invalid_value", "body"),
        (rb'{"prompt": "\ud800"}', "invalid_value", "body"),
        (rb'{"prompt": "a", "\udfff": 1}', "invalid_value", "body"),
        (rb'{"prompt": "a", "custom_id": "\ud800"}', "invalid_value", "custom_id"),
        (rb'{"prompt": "a", "custom_id": "\u0000"}', "invalid_value", "custom_id"),
        (b"{}", "missing_required_parameter", "body"),
        (b'{"custom_id": "a"}', "missing_required_parameter", "body"),
        (b'{"input": "hi"}', "missing_required_parameter", "body"),
        (b'{"prompt": 5}', "invalid_type", "prompt"),
        (b'{"prompt": null}', "invalid_type", "prompt"),
        (b'{"prompt": ["hi"]}', "invalid_type", "prompt"),
        (b'{"prompt": "a", "custom_id": 5}', "invalid_type", "custom_id"),
        (b'{"prompt": "a", "model": ""}', "missing_required_parameter", "body.model"),
        (b'{"prompt": "a", "model": 5}', "missing_required_parameter", "body.model"),
        (b'{"messages": []}', "missing_required_parameter", "body.messages"),
        (b'{"messages": "hi"}', "invalid_type", "body.messages"),
        (b'{"prompt": "a", "stream": true}', "streaming_unsupported", "body.stream"),
        (b'{"prompt": "a", "base_url": "x"}', "invalid_value", "body.base_url"),
        (request_line(url="/v1/embeddings"), "invalid_url", "url"),
        (request_line(url="/v1/responses"), "invalid_url", "url"),
        (request_line(url=5), "invalid_value", "url"),
        (request_line(method="GET"), "invalid_value", "method"),
        (request_line(method="post"), "invalid_value", "method"),
        (request_line(custom_id=5), "invalid_value", "custom_id"),
        (request_line(custom_id=""), "invalid_value", "custom_id"),
        (request_line(custom_id="x" * 513), "invalid_value", "custom_id"),
        (request_line(body="hi"), "invalid_value", "body"),
        (request_line(body=[]), "invalid_value", "body"),
        (request_line(body={}), "missing_required_parameter", "body.messages"),
        (request_line(body={**BODY, "api_key": "x"}), "invalid_value", "body.api_key"),
    ],
    ids=lambda value: value[:50] if isinstance(value, bytes) else None,
)
def test_a_bad_line_is_named_with_its_number_and_its_neighbours_are_read(
    raw: bytes, code: str, param: str
) -> None:
    good = line(prompt="hi")
    got = read(b"\n".join([good, b"", raw, good]))
    assert faults(got) == [(3, code, param)]
    assert [item.line for item in got] == [1, 3, 4]
    [error] = [item for item in got if isinstance(item, LineError)]
    assert error.message
    assert len(error.message) < 300
    str(error).encode()
    assert "\n" not in str(error)


def test_a_wrong_endpoint_is_told_once_however_many_lines_have_it() -> None:
    urls = ["/v1/embeddings"] * 20 + ["/v1/x", "/v1/embeddings", CHAT, "/v1/x"]
    got = read(b"\n".join(request_line(custom_id=str(n), url=url) for n, url in enumerate(urls)))
    must = f"The url of each line must be the endpoint of the batch, '{CHAT}'."
    assert [str(item) for item in got if isinstance(item, LineError)] == [
        f"line 1: Invalid value for 'url': '/v1/embeddings'. {must}",
        f"line 21: Invalid value for 'url': '/v1/x'. {must}",
    ]
    assert len(got) == 3


def test_each_field_that_is_missing_has_an_error_of_its_own() -> None:
    code = "missing_required_parameter"
    assert faults(read(b'{"body": {}}')) == [(1, code, p) for p in ("custom_id", "method", "url")]
    assert faults(read(b'{"url": "/v1/chat/completions"}')) == [
        (1, code, p) for p in ("custom_id", "method", "body")
    ]
    for field in ("custom_id", "method"):
        assert faults(read(request_line(**{field: None}))) == [(1, code, field)]


def test_all_that_is_wrong_with_a_line_is_told_at_once() -> None:
    got = faults(read(request_line(custom_id=5, method="GET", url=None)))
    assert [param for _, _, param in got] == ["custom_id", "method", "url"]


def test_a_line_without_a_model_is_good_if_the_batch_has_one() -> None:
    assert prompts(read(line(prompt="hi")))
    assert faults(read(line(prompt="hi"), defaults={})) == [
        (1, "missing_required_parameter", "body.model")
    ]
    assert prompts(read(line(prompt="hi", model="m"), defaults={}))


@pytest.mark.parametrize("field", ["base_url", "api_key", "api_base", "extra_headers"])
def test_no_line_chooses_where_it_is_sent(field: str) -> None:
    for raw in (line(prompt="hi", **{field: "x"}), request_line(body={**BODY, field: "x"})):
        assert faults(read(raw)) == [(1, "invalid_value", f"body.{field}")]


def test_a_custom_id_may_be_as_long_as_there_is_room() -> None:
    longest = "\U0001f600" * MAX_CUSTOM_ID_CHARS
    assert prompts(read(request_line(custom_id=longest)))[0].custom_id == longest
    assert checked_id(longest) == longest
    assert faults(read(line(prompt="a", custom_id=longest + "x"))) == [
        (1, "invalid_value", "custom_id")
    ]


@pytest.mark.parametrize("form", ["jsonl", "text"])
def test_a_line_too_long_is_named_with_the_limit_and_passed_over(form: InputFormat) -> None:
    good = line(prompt="hi")
    for length in (101, 102, 200, 201, 202, 1000):
        raw = b"\n".join([good, b"x" * length, good])
        got = read(raw, form=form, max_line_bytes=100)
        assert faults(got) == [(2, "invalid_line", None)]
        assert [item.line for item in got] == [1, 2, 3]
        assert "100 bytes (MAX_LINE_BYTES)" in str(got[1])
    assert faults(read(b"x" * 1000, form=form, max_line_bytes=100)) == [(1, "invalid_line", None)]


def test_a_line_as_long_as_it_may_be_is_read() -> None:
    assert len(prompts(read(b"x" * 100, form="text", max_line_bytes=100))) == 1
    assert len(prompts(read(b"x" * 99 + b"\nhi", form="text", max_line_bytes=100))) == 2


texts = st.text(min_size=1, max_size=60)


@given(text=texts, ascii_only=st.booleans(), end=st.sampled_from(["", "\n", "\r\n"]))
def test_any_text_survives_in_jsonl(text: str, end: str, *, ascii_only: bool) -> None:
    for fields in ({"prompt": text}, {"custom_id": "a", "prompt": text}, prompt_body(text, CHAT)):
        raw = json.dumps(fields, ensure_ascii=ascii_only) + end
        [prompt] = prompts(read(raw.encode()))
        assert json.loads(prompt.body) == prompt_body(text, CHAT)


@given(
    text=st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), min_size=1)
    .map(lambda text: text.strip().removeprefix("\ufeff").strip())
    .filter(bool)
)
def test_any_text_of_one_line_survives_in_a_text_file(text: str) -> None:
    [prompt] = prompts(read(f"{text}\n".encode(), form="text"))
    assert json.loads(prompt.body) == prompt_body(text, CHAT)


@pytest.mark.parametrize(("form", "content"), [("csv", "prompt\na\nb\n"), ("text", "a\nb\n")])
@pytest.mark.parametrize(("endpoint", "field"), [(CHAT, "messages"), ("/v1/responses", "input")])
def test_a_field_that_each_prompt_sets_is_refused_once_among_the_defaults(
    form: Any, content: str, endpoint: str, field: str
) -> None:
    defaults = {"model": "m", field: [{"role": "user", "content": "Be brief."}]}
    options = InputOptions(endpoint=endpoint, defaults=defaults, max_line_bytes=1000, format=form)
    [error] = read_prompts(io.BytesIO(content.encode()), options)
    assert isinstance(error, LineError)
    assert f"'body.{field}' is set by each prompt" in error.message
    assert "Use the system prompt" in error.message
    assert error.param == f"body.{field}"
