"""Files of prompts, read line by line: JSONL, CSV, or plain text -> NewPrompt, or LineError."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.prepare import PAYLOAD, check_body, prompt_body
from batches.engine.records import Endpoint

InputFormat = Literal["jsonl", "csv", "text"]
INPUT_FORMATS: tuple[InputFormat, ...] = ("jsonl", "csv", "text")
MAX_CUSTOM_ID_CHARS = 512
# What is let in here is parsed again elsewhere, and parsers count the frames below them.
MAX_DEPTH = 100

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A prompt of an input file; `body` is JSON text."""

    line: int
    custom_id: str
    body: str


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line of an input file; `code` is one of the OpenAI Batch API's."""

    line: int
    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        place = f"{self.param}: " if self.param else ""
        return f"line {self.line}: {place}{self.message}"


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How to read an input. `defaults` lie under each body; `column` is the prompt's in a CSV."""

    endpoint: Endpoint
    defaults: Mapping[str, Any]
    max_line_bytes: int
    format: InputFormat = "jsonl"
    column: str = "prompt"


class _RequestLine(BaseModel):
    """A line in the format of the OpenAI Batch API."""

    model_config = ConfigDict(strict=True)

    custom_id: str = Field(min_length=1, max_length=MAX_CUSTOM_ID_CHARS)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class _LineRefused(Exception):
    """A line that is no prompt, with all that is wrong with it."""

    def __init__(self, *faults: tuple[str, str, str | None]) -> None:
        super().__init__(faults)
        self.faults = faults


def read_prompts(stream: BinaryIO, options: InputOptions) -> Iterator[NewPrompt | LineError]:
    """The prompts of a file in their order, with an error for each line that holds none.

    Holds one line in memory. Blank lines are passed over. A prompt without a custom_id is given
    one from its line number.
    """
    read = {"jsonl": _read_jsonl, "csv": _read_csv, "text": _read_text}[options.format]
    return read(_lines(stream, options.max_line_bytes), options)


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[tuple[int, str] | LineError]:
    """The lines of a stream as text, numbered from 1, with their ends."""
    number = 0
    while raw := stream.readline(max_bytes + 1):
        number += 1
        if len(raw) > max_bytes:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(max_bytes)
            message = f"longer than {max_bytes} bytes (MAX_LINE_BYTES)"
            yield LineError(number, "invalid_line", message)
            continue
        if number == 1:
            raw = raw.removeprefix(_BOM)
        try:
            yield number, raw.decode()
        except UnicodeDecodeError as error:
            yield LineError(number, "invalid_encoding", _encoding_fault(raw, error))


def _encoding_fault(raw: bytes, error: UnicodeDecodeError) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "this is UTF-16; save the file as UTF-8"
    return f"byte {raw[error.start]:#04x} at position {error.start + 1} is not UTF-8; save as UTF-8"


def _read_text(
    lines: Iterator[tuple[int, str] | LineError], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    for item in lines:
        if isinstance(item, LineError):
            yield item
        elif text := item[1].strip():
            yield from _made(item[0], options, _of_text, text)


def _read_jsonl(
    lines: Iterator[tuple[int, str] | LineError], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    for item in lines:
        if isinstance(item, LineError):
            yield item
        elif item[1].strip():
            yield from _made(item[0], options, _of_json, item[1])


class _CsvLines:
    """The lines of a CSV file for its parser, until one is wrong; a row has the limit of a line."""

    def __init__(self, lines: Iterator[tuple[int, str] | LineError], max_row_bytes: int) -> None:
        self.number = 1
        self.fault: LineError | None = None
        self._lines = lines
        self._max_row_bytes = max_row_bytes
        self._row_size = 0

    def begin_row(self) -> None:
        self._row_size = 0

    def __iter__(self) -> Iterator[str]:
        for item in self._lines:
            if isinstance(item, LineError):
                self.fault = item
                return
            self.number, text = item
            self._row_size += len(text)
            if self._row_size > self._max_row_bytes:
                message = f"a row is longer than {self._max_row_bytes} bytes (MAX_LINE_BYTES)"
                self.fault = LineError(self.number, "invalid_csv_line", message)
                return
            yield text


def _read_csv(
    lines: Iterator[tuple[int, str] | LineError], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    csv.field_size_limit(options.max_line_bytes)
    texts = _CsvLines(lines, options.max_line_bytes)
    reader = csv.DictReader(iter(texts), strict=True)
    try:
        if options.column not in (reader.fieldnames or ()) and not texts.fault:
            yield _no_column(options.column, reader.fieldnames)
            return
        texts.begin_row()
        for row in reader:
            if not texts.fault:
                yield from _made(texts.number, options, _of_row, row)
            texts.begin_row()
    except csv.Error as error:
        # After a wrong line the parser only sees that its input ends too soon.
        if not texts.fault:
            yield LineError(texts.number, "invalid_csv_line", f"not CSV: {error}")
    if texts.fault:
        yield texts.fault


def _no_column(column: str, names: Any) -> LineError:
    there = ", ".join(map(repr, names or ())) or "none"
    return LineError(
        1, "missing_column", f"there is no column {column!r}; the header names {there}", "column"
    )


def _made(
    line: int,
    options: InputOptions,
    make: Callable[[Any, InputOptions], tuple[str | None, dict[str, Any]]],
    content: Any,
) -> Iterator[NewPrompt | LineError]:
    """The prompt that `make` finds in the content of a line, or what is wrong with it."""
    try:
        custom_id, body = make(content, options)
        check_body({**options.defaults, **body}, options.endpoint)
        yield NewPrompt(line, checked_id(custom_id or f"line-{line}"), _body_text(body))
    except PromptRejected as error:
        yield LineError(line, error.code, error.message, error.param)
    except _LineRefused as error:
        for code, message, param in error.faults:
            yield LineError(line, code, message, param)


def _of_text(text: str, options: InputOptions) -> tuple[str | None, dict[str, Any]]:
    return None, prompt_body(text, options.endpoint)


def _of_row(
    row: dict[str | None, str | list[str] | None], options: InputOptions
) -> tuple[str | None, dict[str, Any]]:
    if None in row:
        # Mostly a text with a comma and without quotes, half of which would be sent.
        raise PromptRejected(
            "not CSV: more fields than the header names", param="row", code="invalid_csv_line"
        )
    text, custom_id = row.get(options.column), row.get("custom_id")
    if not isinstance(text, str) or not text.strip():
        raise PromptRejected(
            "this row has none", param=options.column, code="missing_required_parameter"
        )
    return custom_id if isinstance(custom_id, str) else None, prompt_body(text, options.endpoint)


def _of_json(text: str, options: InputOptions) -> tuple[str | None, dict[str, Any]]:
    line = _object(text)
    if "body" in line or "url" in line:
        return _of_request_line(line, options.endpoint)
    custom_id = line.pop("custom_id", None)
    if custom_id is not None and not isinstance(custom_id, str):
        raise PromptRejected("give a text", param="custom_id", code="invalid_type")
    if "prompt" not in line:
        if PAYLOAD[options.endpoint] not in line:
            raise PromptRejected(
                f"give a body, a prompt or {PAYLOAD[options.endpoint]}",
                param="body",
                code="missing_required_parameter",
            )
        return custom_id, line
    prompt = line.pop("prompt")
    if not isinstance(prompt, str):
        raise PromptRejected("give a text", param="prompt", code="invalid_type")
    return custom_id, {**line, **prompt_body(prompt, options.endpoint)}


def _of_request_line(line: dict[str, Any], endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    try:
        request = _RequestLine.model_validate(line)
    except ValidationError as error:
        raise _LineRefused(*map(_fault, error.errors(include_url=False))) from error
    if request.url != endpoint:
        raise PromptRejected(
            f"{request.url!r} is not the batch's endpoint, {endpoint}",
            param="url",
            code="invalid_url",
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


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_no_twins, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PromptRejected(
            f"This line is not parseable as valid JSON: {error.msg} at column {error.colno}.",
            param="line",
            code="invalid_json_line",
        ) from error
    except (ValueError, RecursionError) as error:
        raise PromptRejected(str(error), param="line", code="invalid_json_line") from error
    if not isinstance(value, dict):
        raise PromptRejected("a line is a JSON object", param="line", code="invalid_json_line")
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(value):
        raise PromptRejected(
            f"nested more than {MAX_DEPTH} levels deep", param="line", code="invalid_json_line"
        )
    return value


def _is_too_deep(value: Any) -> bool:
    """Whether a value is nested deeper than MAX_DEPTH; level by level, not by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twin!r} is given twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _body_text(body: dict[str, Any]) -> str:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except ValueError as error:
        raise PromptRejected(f"cannot be sent as JSON: {error}", param="body") from error
    return text
