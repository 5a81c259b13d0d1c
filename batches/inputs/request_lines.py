"""Parse a line of JSON into a request (custom_id and body), in the OpenAI form or a shorter one.

An invalid line raises LineRefused, with error codes of the OpenAI Batch API.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from batches.engine.endpoints import endpoint_of, rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import prompt_body
from batches.engine.records import MAX_CUSTOM_ID_CHARS
from batches.engine.text.sendable import NUL, fault_of, sendable_json, text_fault
from batches.engine.text.wording import described, missing, named, quoted, wrong_type, wrong_value
from batches.inputs.explanations import explained

WRONG_ENDPOINT = "invalid_url"
# Accepted JSON is parsed again elsewhere, where the stack may be deeper.
MAX_DEPTH = 100
# The most characters of a line outside of its strings. A long string takes about as much memory as
# its characters, but a list of small values takes fifty times as much.
MAX_STRUCTURE_CHARS = 1024 * 1024

# Possessive, since otherwise each escape would take a hundred bytes for backtracking.
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

NOT_JSON = "This line is not parseable as valid JSON."
# Fields that distinguish a request from a line that is only its body.
_REQUEST_FIELDS = frozenset({"method", "url", "body"})

Request = tuple[str | None, dict[str, Any]]


# The most characters of a name in an error.
MOST_NAME_CHARS = 100


class LineRefused(Exception):
    """A line was refused, with all its errors: code, message, param."""

    def __init__(self, *faults: tuple[str, str, str | None]) -> None:
        super().__init__(faults)
        self.faults = faults


class _RequestLine(BaseModel):
    """A line in the format of the OpenAI Batch API."""

    model_config = ConfigDict(strict=True)

    custom_id: str = Field(min_length=1, max_length=MAX_CUSTOM_ID_CHARS)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


def parse_line(text: str) -> dict[str, Any]:
    """Return the JSON object of a line in our own format. Raise LineRefused with the place."""
    try:
        return parsed_object(text)
    except json.JSONDecodeError as error:
        message = f"{NOT_JSON[:-1]}: {_json_fault(text, error)}"
        raise LineRefused(("invalid_json_line", message, "line")) from error


def parse_strict_line(text: str) -> dict[str, Any]:
    """Return the JSON object of a line of the OpenAI Batch API. Raise LineRefused in its words."""
    try:
        return parsed_object(text)
    except json.JSONDecodeError as error:
        raise LineRefused(("invalid_json_line", NOT_JSON, None)) from error


def _json_fault(text: str, error: json.JSONDecodeError) -> str:
    if NUL in text:
        return f"it has the character NUL (U+0000) at column {text.index(NUL) + 1}. Remove it."
    fault = f"{error.msg} at column {error.colno}."
    start = text.lstrip()
    if start.startswith("{"):
        return fault
    return f"{fault} A line begins with '{{'; this one begins with {quoted(start[:20].rstrip())}."


def parsed_object(text: str) -> dict[str, Any]:
    value = parsed_value(text)
    if not isinstance(value, dict):
        message = f"The line is {described(value)}, not a JSON object. Give an object on each line."
        raise LineRefused(("invalid_json_line", message, "line"))
    return value


def parsed_value(text: str) -> Any:
    """Return the value of JSON text. Raise JSONDecodeError, or LineRefused if it is not strict."""
    if len(text) > MAX_STRUCTURE_CHARS:
        _check_structure(text)
    try:
        value = _decoded(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise LineRefused(("invalid_json_line", reason_of(error), "line")) from error
    if text.count("{") + text.count("[") > MAX_DEPTH:
        check_depth(value)
    return value


def _decoded(text: str) -> Any:
    with suppress(json.JSONDecodeError):
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    # There may be spaces around the value.
    return _DECODER.decode(text)


def storable_value(text: str) -> Any:
    """Return the value of JSON text if it can be stored and sent. Raise as parsed_value does."""
    value = parsed_value(text)
    fault = fault_of(value, "", allow_nul=False)
    if fault:
        raise LineRefused(("invalid_json_line", str(fault), "line"))
    return value


def request_of(
    line: dict[str, Any], endpoint: str, defaults: Mapping[str, Any] | None = None
) -> Request:
    """Return the request of a line: in the OpenAI form, as a body, or as a prompt."""
    if "body" in line or "url" in line:
        return strict_request_of(line, endpoint)
    custom_id = line.pop("custom_id", None)
    if custom_id is not None and not isinstance(custom_id, str):
        raise wrong_type("custom_id", custom_id, "a string")
    asked_in = rules_of(endpoint).asked_in
    if asked_in is None:
        # This endpoint has no short form: the line is the body.
        return custom_id, line
    if "prompt" not in line or asked_in == "prompt":
        _check_has_payload(line, asked_in)
        return custom_id, line
    prompt = line.pop("prompt")
    if not isinstance(prompt, str):
        raise wrong_type("prompt", prompt, "a string")
    return custom_id, {**line, **prompt_body(prompt, endpoint, defaults)}


def _check_has_payload(line: dict[str, Any], payload: str) -> None:
    if payload not in line:
        there = f"it has only {named(list(line))}" if line else "it is empty"
        hint = f"Give 'body', 'prompt' or '{payload}' in the line; {there}."
        raise missing("body", hint)


def strict_request_of(line: dict[str, Any], endpoint: str) -> Request:
    """Return the request of a line in the OpenAI form, or of a line that is only a body."""
    asked_in = rules_of(endpoint).asked_in
    if (asked_in is None or asked_in in line) and not _REQUEST_FIELDS & line.keys():
        return request_of(line, endpoint)
    try:
        request = _RequestLine.model_validate(line)
    except ValidationError as error:
        raise LineRefused(*map(_fault, error.errors(include_url=False))) from error
    if request.url != endpoint and endpoint_of(request.url) != endpoint:
        expected = f"The url of each line must be the endpoint of the batch, '{endpoint}'."
        raise wrong_value("url", request.url, expected, code=WRONG_ENDPOINT)
    return request.custom_id, request.body


def _fault(error: ErrorDetails) -> tuple[str, str, str | None]:
    param = ".".join(map(str, error["loc"]))
    code, message = explained(error, param)
    return code, message, param


def checked_id(custom_id: str) -> str:
    """Return the custom_id if it can be stored and shown. Raise PromptRejected."""
    if len(custom_id) > MAX_CUSTOM_ID_CHARS:
        expected = f"It has {len(custom_id)} characters; the most is {MAX_CUSTOM_ID_CHARS}."
        raise wrong_value("custom_id", custom_id, expected)
    fault = text_fault(custom_id, allow_nul=False)
    if fault:
        raise PromptRejected(f"'custom_id' {fault}", param="custom_id")
    return custom_id


def body_text(body: dict[str, Any]) -> str:
    """Return a body as JSON text. Raise PromptRejected if it cannot be sent."""
    return sendable_json(body).decode()


def _check_structure(text: str) -> None:
    """Refuse JSON text with too many characters outside of strings, before parsing it."""
    structure = end = 0
    while structure <= MAX_STRUCTURE_CHARS:
        begin = text.find('"', end)
        found = _TEXT.match(text, begin) if begin >= 0 else None
        structure += (begin if begin >= 0 else len(text)) - end
        if found is None:
            # The rest, or a string without an end, which the parser refuses.
            break
        end = found.end()
    if structure > MAX_STRUCTURE_CHARS:
        message = (
            "The numbers, brackets and commas of the line take more than "
            f"{MAX_STRUCTURE_CHARS} characters, which is the limit. Split the line."
        )
        raise LineRefused(("invalid_line", message, "line"))


def check_depth(value: Any) -> None:
    """Refuse values nested deeper than MAX_DEPTH; check level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> LineRefused:
    message = f"The JSON is nested more than {MAX_DEPTH} levels deep, which is the limit."
    return LineRefused(("invalid_json_line", message, "line"))


def reason_of(error: ValueError) -> str:
    """Return why a parser refused JSON for another reason than its syntax."""
    # Python's message is about one of its own settings.
    if "int_max_str_digits" in str(error):
        return "In the JSON, a number has too many digits: at most 4300 are allowed."
    return str(error)


class TwinName(ValueError):
    """A duplicate name in one object; parsers disagree about which value counts."""

    def __init__(self, name: str) -> None:
        self.name = name[:MOST_NAME_CHARS]
        super().__init__(
            f"The field {quoted(self.name)} is given twice in one object. Give it once."
        )


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs, for `json.loads`. Raise TwinName."""
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise TwinName(name)
            seen.add(name)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON. Give a number, or null.")


# The function of `json` would make a new one for each line.
_DECODER = json.JSONDecoder(object_pairs_hook=no_twins, parse_constant=_refuse_constant)
