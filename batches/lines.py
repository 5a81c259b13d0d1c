"""One line of JSON becomes a request: a custom_id and a body, in the OpenAI form or a shorter one.

What is wrong with a line is raised; the codes are those of the OpenAI Batch API.
"""

import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.prepare import PAYLOAD, prompt_body
from batches.engine.records import Endpoint

MAX_CUSTOM_ID_CHARS = 512
WRONG_ENDPOINT = "invalid_url"
# What is let in here is parsed again elsewhere, and parsers count the frames below them.
MAX_DEPTH = 100
# What a line has besides the characters of its texts. A long text takes the memory of its
# characters, a list of as many small values fifty times as much.
MAX_STRUCTURE_CHARS = 1024 * 1024

_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

Request = tuple[str | None, dict[str, Any]]


class LineRefused(Exception):
    """A line that is no prompt, with all that is wrong with it: code, message, param."""

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
    """The JSON object of a line of our own dialect, which says where it is wrong."""
    try:
        return parsed_object(text)
    except json.JSONDecodeError as error:
        message = f"This line is not parseable as valid JSON: {error.msg} at column {error.colno}."
        raise LineRefused(("invalid_json_line", message, "line")) from error


def parse_strict_line(text: str) -> dict[str, Any]:
    """The JSON object of a line of the OpenAI Batch API, in whose words it is refused."""
    try:
        return parsed_object(text)
    except json.JSONDecodeError as error:
        message = "This line is not parseable as valid JSON."
        raise LineRefused(("invalid_json_line", message, None)) from error


def parsed_object(text: str) -> dict[str, Any]:
    value = parsed_value(text)
    if not isinstance(value, dict):
        raise LineRefused(("invalid_json_line", "a line is a JSON object", "line"))
    return value


def parsed_value(text: str) -> Any:
    """What JSON text holds. Raises json.JSONDecodeError, and LineRefused for what is not strict."""
    if len(text) > MAX_STRUCTURE_CHARS:
        _check_structure(text)
    try:
        value = json.loads(text, object_pairs_hook=_no_twins, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise LineRefused(("invalid_json_line", _reason(error), "line")) from error
    if text.count("{") + text.count("[") > MAX_DEPTH:
        check_depth(value)
    return value


def storable_value(text: str) -> Any:
    """What JSON text holds, if databases and providers take it too. Raises as parsed_value does."""
    value = parsed_value(text)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        message = "a text has half of a surrogate pair"
        raise LineRefused(("invalid_json_line", message, "line")) from error
    except ValueError as error:
        message = "a number is out of range"
        raise LineRefused(("invalid_json_line", message, "line")) from error
    if holds_nul(value):
        raise LineRefused(("invalid_json_line", "a text may not hold the character NUL", "line"))
    return value


def request_of(line: dict[str, Any], endpoint: Endpoint) -> Request:
    """The request of a line: in the OpenAI form, as a body with a custom_id, or as a prompt."""
    if "body" in line or "url" in line:
        return strict_request_of(line, endpoint)
    custom_id = line.pop("custom_id", None)
    if custom_id is not None and not isinstance(custom_id, str):
        raise PromptRejected("give a text", param="custom_id", code="invalid_type")
    if "prompt" not in line:
        if PAYLOAD[endpoint] not in line:
            raise PromptRejected(
                f"give a body, a prompt or {PAYLOAD[endpoint]}",
                param="body",
                code="missing_required_parameter",
            )
        return custom_id, line
    prompt = line.pop("prompt")
    if not isinstance(prompt, str):
        raise PromptRejected("give a text", param="prompt", code="invalid_type")
    return custom_id, {**line, **prompt_body(prompt, endpoint)}


def strict_request_of(line: dict[str, Any], endpoint: Endpoint) -> Request:
    """The request of a line in the OpenAI form, with nothing left out."""
    try:
        request = _RequestLine.model_validate(line)
    except ValidationError as error:
        raise LineRefused(*map(_fault, error.errors(include_url=False))) from error
    if request.url != endpoint:
        raise PromptRejected(
            f"the url of each line must be the endpoint of the batch, {endpoint}, "
            f"not {request.url!r}",
            param="url",
            code=WRONG_ENDPOINT,
        )
    return request.custom_id, request.body


def _fault(error: Any) -> tuple[str, str, str | None]:
    param = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return "missing_required_parameter", "this field is missing", param
    return "invalid_value", error["msg"], param


def checked_id(custom_id: str) -> str:
    """The custom_id, if it can be stored and shown. Raises PromptRejected."""
    if len(custom_id) > MAX_CUSTOM_ID_CHARS:
        raise PromptRejected(f"longer than {MAX_CUSTOM_ID_CHARS} characters", param="custom_id")
    if "\x00" in custom_id or any("\ud800" <= char <= "\udfff" for char in custom_id):
        raise PromptRejected("has a character that cannot be stored", param="custom_id")
    return custom_id


def body_text(body: dict[str, Any]) -> str:
    """A body as JSON text. Raises PromptRejected if it cannot be sent."""
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except ValueError as error:
        raise PromptRejected(f"cannot be sent as JSON: {error}", param="body") from error
    return text


def _check_structure(text: str) -> None:
    """Refuse JSON text with too much outside of its texts, before it is read into memory."""
    structure = end = 0
    while structure <= MAX_STRUCTURE_CHARS:
        begin = text.find('"', end)
        found = _TEXT.match(text, begin) if begin >= 0 else None
        structure += (begin if begin >= 0 else len(text)) - end
        if found is None:
            # The rest, or a text without an end, which the parser refuses.
            break
        end = found.end()
    if structure > MAX_STRUCTURE_CHARS:
        message = (
            f"numbers, brackets and commas take more than {MAX_STRUCTURE_CHARS} characters; "
            "split the line"
        )
        raise LineRefused(("invalid_line", message, "line"))


def check_depth(value: Any) -> None:
    """Refuse what is nested deeper than MAX_DEPTH; level by level, not by recursion."""
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


def holds_nul(value: Any) -> bool:
    """Whether a text within a value has the character NUL, which PostgreSQL does not store."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            pending += item
    return False


def _too_deep() -> LineRefused:
    return LineRefused(("invalid_json_line", f"nested more than {MAX_DEPTH} levels deep", "line"))


def _reason(error: ValueError) -> str:
    # Python speaks of a switch of its own there.
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twin!r} is given twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
