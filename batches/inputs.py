"""Files of prompts, read line by line: JSONL, CSV, or plain text -> NewPrompt, or LineError."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from batches.engine.errors import PromptRejected
from batches.engine.known_schemas import KnownSchemas
from batches.engine.prepare import check_body, prompt_body, strict_warnings
from batches.engine.strict import StrictProblem
from batches.lines import (
    WRONG_ENDPOINT,
    LineRefused,
    Request,
    body_text,
    check_depth,
    checked_id,
    parse_line,
    parse_strict_line,
    request_of,
    strict_request_of,
)

InputFormat = Literal["jsonl", "csv", "text"]
INPUT_FORMATS: tuple[InputFormat, ...] = ("jsonl", "csv", "text")

NOT_LINES = "this is one JSON text; give an object on each line instead (JSONL), without an array"

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A prompt of an input file; `body` is JSON text, `warnings` what a provider may refuse."""

    line: int
    custom_id: str
    body: str
    warnings: tuple[StrictProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line of an input file; `code` is one of the OpenAI Batch API's."""

    line: int
    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        line = "" if self.code == "empty_file" else f"line {self.line}: "
        place = f"{self.param}: " if self.param and self.param != "line" else ""
        return f"{line}{place}{self.message}"


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How to read an input. `defaults` lie under each body; `column` is the prompt's in a CSV.

    `strict` takes nothing but the lines of the OpenAI Batch API, with every field; `models` are
    those that may be asked for, any if there are none. `strict_schemas` says that schemas will be
    put in the form of the strict mode.
    """

    endpoint: str
    defaults: Mapping[str, Any]
    max_line_bytes: int
    format: InputFormat = "jsonl"
    column: str = "prompt"
    strict: bool = False
    models: frozenset[str] = frozenset()
    strict_schemas: bool = False
    known: KnownSchemas = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", KnownSchemas(self.defaults, self.endpoint))


def read_prompts(stream: BinaryIO, options: InputOptions) -> Iterator[NewPrompt | LineError]:
    """The prompts of a file in their order, with an error for each line that holds none.

    An endpoint that is not the batch's is told of once, since mostly all lines have it.
    Holds one line in memory. Blank lines are passed over. A prompt without a custom_id is given
    one from its line number.
    """
    read = {"jsonl": _read_jsonl, "csv": _read_csv, "text": _read_text}[options.format]
    return _without_repeats(read(_lines(stream, options.max_line_bytes), options))


def _without_repeats(items: Iterable[NewPrompt | LineError]) -> Iterator[NewPrompt | LineError]:
    """The items, but of those with the same wrong endpoint only the first."""
    told: set[str] = set()
    for item in items:
        if isinstance(item, LineError) and item.code == WRONG_ENDPOINT:
            if item.message in told:
                continue
            told.add(item.message)
        yield item


def prompts_of_objects(
    objects: Iterable[Mapping[str, Any]], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    """The prompts among lines that were parsed elsewhere, as `read_prompts` finds those of text."""
    for number, line in enumerate(objects, start=1):
        yield from _made(number, options, _of_parsed, line)


def prompts_of_texts(
    texts: Iterable[str], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    """The prompts that ask these texts."""
    for number, text in enumerate(texts, start=1):
        yield from _made(number, options, _of_long_text, text)


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
    began = False
    for item in lines:
        if isinstance(item, LineError):
            yield item
        elif text := item[1].strip():
            if not began and not options.strict and (text.startswith("[") or text == "{"):
                # One error, and not one for each line that the rest of it goes over.
                yield LineError(item[0], "invalid_json_line", NOT_LINES, "line")
                return
            began = True
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
    make: Callable[[Any, InputOptions], Request],
    content: Any,
) -> Iterator[NewPrompt | LineError]:
    """The prompt that `make` finds in the content of a line, or what is wrong with it."""
    try:
        custom_id, body = make(content, options)
        whole = {**options.defaults, **body}
        check_body(whole, options.endpoint, options.known)
        check_model(whole.get("model"), options.models)
        warnings = strict_warnings(
            body, endpoint=options.endpoint, strict_schemas=options.strict_schemas
        )
        custom_id = checked_id(custom_id or f"line-{line}")
        yield NewPrompt(line, custom_id, body_text(body), tuple(warnings))
    except PromptRejected as error:
        yield LineError(line, error.code, error.message, error.param)
    except LineRefused as error:
        for code, message, param in error.faults:
            yield LineError(line, code, message, param)


def check_model(model: str | None, models: frozenset[str]) -> None:
    """Raise PromptRejected for a model that the provider does not list, if it lists any.

    An endpoint that needs no model has one of its own.
    """
    if models and model is not None and model not in models:
        raise PromptRejected(
            f"there is no model {model!r}; there is {', '.join(sorted(models))}"[:1000],
            param="body.model",
            code="model_not_found",
        )


def _of_json(text: str, options: InputOptions) -> Request:
    if options.strict:
        return strict_request_of(parse_strict_line(text), options.endpoint)
    return request_of(parse_line(text), options.endpoint)


def _of_parsed(line: Mapping[str, Any], options: InputOptions) -> Request:
    check_depth(line)
    if "body" in line:
        # There is one endpoint for all; it need not be said again with each.
        line = {"method": "POST", "url": options.endpoint, **line}
    custom_id, body = request_of(dict(line), options.endpoint)
    _check_size(body, options)
    return custom_id, body


def _of_long_text(text: str, options: InputOptions) -> Request:
    custom_id, body = _of_text(text, options)
    _check_size(body, options)
    return custom_id, body


def _check_size(body: dict[str, Any], options: InputOptions) -> None:
    if len(body_text(body)) > options.max_line_bytes:
        message = f"longer than {options.max_line_bytes} bytes (MAX_LINE_BYTES)"
        raise LineRefused(("invalid_line", message, "body"))


def _of_text(text: str, options: InputOptions) -> Request:
    return None, prompt_body(text, options.endpoint)


def _of_row(row: dict[str | None, str | list[str] | None], options: InputOptions) -> Request:
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
