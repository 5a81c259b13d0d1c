"""What is wrong is said in a message that stands alone: the field, the value, what is allowed."""

import io
import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batches.engine.endpoints import ENDPOINTS, rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import check_body, prepare_prompt_request, prompt_body
from batches.engine.records import Outcome, PromptSpec
from batches.engine.text.wording import (
    MAX_SHOWN_CHARS,
    did_you_mean,
    dotted,
    shown,
    supported,
    value_text,
)
from batches.inputs.explanations import explained
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError
from tests.inputs.test_inputs import line, read, request_line

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(value=json_values)
def test_any_value_is_shown_on_one_short_line(value: Any) -> None:
    text = value_text("x", value, "Expected another.")
    assert text.splitlines() == [text]
    text.encode()
    assert len(shown(value)) <= MAX_SHOWN_CHARS * 12
    assert "\0" not in text
    assert "\x1b" not in text


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    count: int = Field(ge=1, le=9)


class Everything(BaseModel):
    """A field for each rule that our models have."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    text: str = Field(default="abc", min_length=2, max_length=5)
    number: float = Field(default=1, gt=0, lt=10)
    whole: int = Field(default=1, ge=1, le=9)
    flag: bool = False
    choice: Literal["one", "two"] = "one"
    pattern: str = Field(default="a", pattern="^a+$")
    many: list[int] = Field(default=[1], min_length=1, max_length=2)
    named: dict[str, str] = Field(default={}, max_length=1)
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"text": 5}, "Invalid type for 'text': expected a string, but got the number 5 instead."),
        ({"text": None}, "Invalid type for 'text': expected a string, but got null instead."),
        (
            {"text": ""},
            "Invalid value for 'text': an empty string. "  # noqa: ISC004 - one sentence
            "Expected a string of at least 2 characters.",
        ),
        (
            {"text": "abcdef"},
            "Invalid value for 'text': the string 'abcdef' of 6 characters. "  # noqa: ISC004 - one string
            "Expected a string of at most 5 characters.",
        ),
        ({"number": 0}, "Invalid value for 'number': 0. Expected a number above 0.0."),
        ({"number": 10}, "Invalid value for 'number': 10. Expected a number below 10.0."),
        ({"whole": 0}, "Invalid value for 'whole': 0. Expected a number of at least 1."),
        ({"whole": 10}, "Invalid value for 'whole': 10. Expected a number of at most 9."),
        (
            {"whole": 1.5},
            "Invalid type for 'whole': expected an integer, but got the number 1.5 instead.",
        ),
        (
            {"flag": "yes"},
            "Invalid type for 'flag': expected a boolean, but got the string 'yes' instead.",
        ),
        (
            {"choice": "three"},
            "Invalid value for 'choice': 'three'. Supported values are: 'one' and 'two'.",
        ),
        (
            {"pattern": "b"},
            "Invalid value for 'pattern': 'b'. Expected a string that matches '^a+$'.",
        ),
        (
            {"many": {}},
            "Invalid type for 'many': expected an array, but got an empty object instead.",
        ),
        ({"many": []}, "Invalid value for 'many': an empty array. Expected at least 1 item."),
        (
            {"many": [1, 2, 3]},
            "Invalid value for 'many': an array of 3 items. Expected at most 2 items.",
        ),
        (
            {"many": ["x"]},
            "Invalid type for 'many[0]': expected an integer, but got the string 'x' instead.",
        ),
        (
            {"named": [1]},
            "Invalid type for 'named': expected an object, but got an array instead.",
        ),
        (
            {"named": {"a": "b", "c": "d"}},
            "Invalid value for 'named': an object of 2 items. Expected at most 1 item.",
        ),
        (
            {"inner": []},
            "Invalid type for 'inner': expected an object, but got an empty array instead.",
        ),
        ({"inner": {}}, "Missing required parameter: 'inner.count'."),
        ({"inner": {"count": 1, "x": 1}}, "Unknown parameter: 'inner.x'."),
        ({"txt": "a"}, "Unknown parameter: 'txt'. Did you mean 'text'?"),
    ],
)
def test_each_rule_of_a_model_has_its_sentence(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate_json(json.dumps(given_), strict=True)
    error = caught.value.errors(include_url=False)[0]
    place = dotted(error["loc"])
    names = Everything.model_fields if len(error["loc"]) == 1 else ()
    assert explained(error, place, names)[1] == message


def test_names_that_are_close_are_asked_for_and_others_are_not() -> None:
    assert did_you_mean("PROMPT", ["prompt", "id"]) == " Did you mean 'prompt'?"
    assert did_you_mean("x", ["prompt", "id"]) == ""
    assert did_you_mean("p" * 10_000, ["p" * 9_999]) == ""
    assert supported(["a"]) == "Supported values are: 'a'."


# -- bodies: what every endpoint refuses


WRONG_BODIES: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "body.model", "Name a model"),
    ({"model": ""}, "body.model", "Name a model"),
    ({"model": 5}, "body.model", "the number 5"),
    ({"model": ["m"]}, "body.model", "an array"),
    ({"model": "a\0"}, "body.model", "NUL"),
    ({"stream": True}, "body.stream", "true"),
    ({"stream": "yes"}, "body.stream", "'yes'"),
    ({"background": True}, "body.background", "true"),
    ({"base_url": "x"}, "body.base_url", "not allowed"),
    ({"api_key": "x"}, "body.api_key", "not allowed"),
    ({"extra_headers": {}}, "body.extra_headers", "not allowed"),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("change", "param", "says"), WRONG_BODIES)
def test_a_body_that_is_refused_is_told_by_name_and_value(
    endpoint: str, change: dict[str, Any], param: str, says: str
) -> None:
    body = {"model": "m", **prompt_body("hi", endpoint), **change}
    rules = rules_of(endpoint)
    is_accepted = change == {"model": None} and not rules.needs_model
    if is_accepted or ("background" in change and not rules.can_defer):
        assert check_body(body, endpoint) == []
        return
    with pytest.raises(PromptRejected) as caught:
        check_body(body, endpoint)
    check_alone(caught.value.message, param, says)
    assert caught.value.param == param


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_a_body_that_asks_nothing_is_told_what_is_missing(endpoint: str, empty: Any) -> None:
    [field] = prompt_body("hi", endpoint)
    for body, says in (({"model": "m"}, endpoint), ({"model": "m", field: empty}, "")):
        prompt = PromptSpec(0, "a", body)
        outcome = prepare_prompt_request(prompt, endpoint=endpoint, defaults={})
        assert isinstance(outcome, Outcome)
        check_alone(outcome.message, f"body.{field}", says)


def check_alone(message: str, param: str, says: str) -> None:
    """A sentence that names the parameter, in quotes as it is written, and what is wrong of it."""
    assert f"'{param}" in message
    assert says in message
    assert message[0].isupper() or message[0] == "'"
    assert message.endswith((".", "?"))
    assert len(message) < 500


def schema(value: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": value}}}


PLACE = "body.response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        (schema(None), PLACE, "expected a JSON Schema"),
        (schema("x"), PLACE, "the string 'x'"),
        ({"response_format": {"type": "json_schema"}}, PLACE, "expected a JSON Schema"),
        (schema({"type": "objekt"}), f"{PLACE}.type", "Supported values are: 'array', 'boolean'"),
        (schema({"$ref": "#/$defs/x"}), f"{PLACE}.$ref", "is not in the schema"),
        (schema({"pattern": "("}), f"{PLACE}.pattern", '"("'),
        (schema({"name": "x", "schema": {"type": "object"}}), PLACE, "'schema'"),
        (schema({"name": "x" * 300_000}), PLACE, "262144"),
        ({"messages": "hi"}, "body.messages", "the string 'hi'"),
        ({"messages": ["hi"]}, "body.messages", "array of message objects"),
        ({"custom_id": 5}, "custom_id", "the number 5"),
        ({"custom_id": "x" * 513}, "custom_id", "512"),
        ({"custom_id": "\ud800"}, "custom_id", "surrogate"),
        ({"seed": "\ud800"}, "body.seed", "surrogate"),
    ],
)
def test_a_short_line_that_is_refused_is_told_by_name_and_value(
    change: dict[str, Any], param: str, says: str
) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], **change}
    [error] = read(line(**body), max_line_bytes=10**6)
    assert isinstance(error, LineError)
    check_alone(error.message, param, says)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("raw", "param", "says"),
    [
        (request_line(custom_id=None), "custom_id", "Missing required parameter"),
        (request_line(method=None), "method", "Missing required parameter"),
        (request_line(url=None), "url", "Missing required parameter"),
        (request_line(body=None), "body", "Missing required parameter"),
        (request_line(custom_id=7), "custom_id", "the number 7"),
        (request_line(custom_id=""), "custom_id", "at least 1 character"),
        (request_line(custom_id="x" * 513), "custom_id", "at most 512 characters"),
        (request_line(method="GET"), "method", "'GET'. Supported values are: 'POST'"),
        (request_line(url=True), "url", "the boolean true"),
        (request_line(url="/v1/x"), "url", "'/v1/x'"),
        (request_line(body="hi"), "body", "the string 'hi'"),
        (request_line(body=[1]), "body", "an array"),
    ],
)
def test_a_line_of_the_batch_api_is_refused_in_words_that_stand_alone(
    raw: bytes, param: str, says: str, *, strict: bool
) -> None:
    options = InputOptions(
        endpoint="/v1/chat/completions",
        defaults={"model": "m"},
        max_line_bytes=10_000,
        strict=strict,
    )
    items = read_prompts(io.BytesIO(raw), options)
    errors = [item for item in items if isinstance(item, LineError)]
    [error] = [error for error in errors if error.param == param]
    check_alone(error.message, param, says)


def test_a_model_that_is_unknown_is_told_with_those_there_are() -> None:
    options = InputOptions(
        endpoint="/v1/chat/completions",
        defaults={},
        max_line_bytes=10_000,
        models=frozenset({"small", "large"}),
    )
    [error] = read_prompts(io.BytesIO(line(prompt="hi", model="smal")), options)
    assert isinstance(error, LineError)
    check_alone(error.message, "body.model", "Supported values are: 'large' and 'small'.")
    assert "Did you mean 'small'?" in error.message
