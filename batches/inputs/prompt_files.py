"""Read files of prompts line by line: JSONL, tables or plain text become NewPrompt or LineError."""

from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from batches.engine.errors import PromptRejected
from batches.engine.prepare import check_body, prompt_body, strict_warnings, whole_body
from batches.engine.schemas.strict import StrictProblem
from batches.engine.structured.asked import AskedSchema
from batches.engine.structured.known_schemas import KnownSchemas
from batches.engine.structured.schema_bill import SchemaBill
from batches.engine.text.sendable import text_fault
from batches.engine.text.wording import did_you_mean, missing, quoted, supported, wrong_value
from batches.inputs.input_formats import ASSUMED_ENCODING, FIRST_SHEET, TABLE_FILES, InputFormat
from batches.inputs.prompts import OF_ALL_LINES, LineError, NewPrompt, Unit
from batches.inputs.request_lines import (
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
from batches.inputs.tables import (
    CSV_DELIMITERS,
    TSV_DELIMITERS,
    Cell,
    EmptyRow,
    TableHeader,
    TableItem,
    TableRow,
    cell_text,
    column_names,
    read_rows,
)
from batches.inputs.text_lines import BadLine, TextLines

if TYPE_CHECKING:
    from batches.inputs.row_templates.images import ImageFolder
    from batches.inputs.row_templates.rendering import RowTemplate
    from batches.inputs.row_templates.rows import TemplatedRows

T = TypeVar("T")

# The formats of tables in text, with the delimiters in the order in which they are tried.
DELIMITERS: Mapping[InputFormat, str] = {"csv": CSV_DELIMITERS, "tsv": TSV_DELIMITERS}

NOT_LINES = (
    "The file is a single JSON document. JSONL needs one object on each line, without an array "
    "around them."
)
TABLE = (
    "The file is not a text with a prompt on each line: its first line is the header of a table, "
    "with tabs and the column {}. Read it in the format tsv, or give it the ending .tsv."
)


# The most models named in an error; a provider may have hundreds.
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options for reading an input.

    `defaults` are the default fields of each body; `column` is the column with the prompts of a
    table, or `template` makes a prompt of each row of a table or JSONL, with images of the files in
    `image_folder`.
    `strict` accepts only lines of the OpenAI Batch API with all fields. `models` are the allowed
    models; if empty, any.
    `strict_schemas`: schemas will be sent in strict form.
    `max_schema_bytes` bounds the large schemas of all prompts together; `checked_schema_bytes`
    bounds the schemas that are checked here instead of when their prompts are prepared.
    """

    endpoint: str
    defaults: Mapping[str, Any]
    max_line_bytes: int
    format: InputFormat = "jsonl"
    column: str = "prompt"
    strict: bool = False
    models: frozenset[str] = frozenset()
    strict_schemas: bool = False
    max_schema_bytes: int = 32 * 1024 * 1024
    checked_schema_bytes: int | None = None
    template: "RowTemplate | None" = None
    image_folder: "ImageFolder | None" = None
    # Counts rows of a table without any text, which are skipped.
    empty_rows: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)
    known: KnownSchemas = field(init=False, repr=False, compare=False)
    bill: SchemaBill = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", KnownSchemas(self.defaults, self.endpoint))
        bill = SchemaBill(
            self.max_schema_bytes,
            checked_bytes=self.checked_schema_bytes,
            strict_forms=self.strict_schemas,
        )
        object.__setattr__(self, "bill", bill)


def read_prompts(stream: BinaryIO, options: InputOptions) -> Iterator[NewPrompt | LineError]:
    """Yield the prompts of a file in order, and an error for each invalid line.

    An error that usually all lines have, such as a wrong endpoint, is reported only once.
    Only one line is in memory at a time. Blank lines are skipped. A prompt without a custom_id
    gets one from its number.
    """
    if options.format in TABLE_FILES:
        return _without_repeats(_of_table_file(stream, options))
    lines = TextLines(stream, options.max_line_bytes, in_lines=options.format != "text")
    rows = _templated(options)
    if options.format == "jsonl":
        make_line = rows.of_line if rows else _of_json
        items = _made(_json_lines(lines, options), options, make_line, rows=rows)
    elif options.format == "text":
        items = _made(_text_lines(lines, options), options, _of_line)
    else:
        items = _of_table(_text_table(lines, options), options, rows, [])

    def assumed() -> StrictProblem | None:
        return _assumption(lines.assumed) if lines.assumed else None

    return _with_doubt(_without_repeats(items), assumed)


def _with_doubt(
    items: Iterator[NewPrompt | LineError], doubt: Callable[[], StrictProblem | None]
) -> Iterator[NewPrompt | LineError]:
    """Yield the items, with a warning at the first prompt after there is a doubt."""
    for item in items:
        if isinstance(item, NewPrompt) and (found := doubt()):
            yield replace(item, warnings=(*item.warnings, found))
            break
        yield item
    yield from items


def _assumption(encoding: str) -> StrictProblem:
    message = (
        f"The file is not UTF-8 and was read as Windows-1252 ({encoding}). If letters are wrong, "
        "save it as UTF-8."
    )
    return StrictProblem(ASSUMED_ENCODING, "file", message)


def _without_repeats(items: Iterable[NewPrompt | LineError]) -> Iterator[NewPrompt | LineError]:
    """Yield the items, but only the first error of each kind that all lines may have."""
    reported: set[str] = set()
    for item in items:
        if isinstance(item, LineError) and item.code in OF_ALL_LINES:
            # There may be several wrong endpoints; report each once.
            kind = item.message if item.code == WRONG_ENDPOINT else item.code
            if kind in reported:
                continue
            reported.add(kind)
        yield item


def columns_of(
    stream: BinaryIO, form: InputFormat, *, column: str, max_line_bytes: int
) -> list[str]:
    """Return the names of the columns of a table; none if its header cannot be read."""
    if form in TABLE_FILES:
        items = _table_file(stream, form, columns=(), max_bytes=max_line_bytes)
        with closing(items):
            header = next(items, None)
        names = header.names if isinstance(header, TableHeader) else ()
        return [name for name in map(str.strip, names) if name]
    lines = iter(TextLines(stream, max_line_bytes))
    return column_names(lines, column=column, delimiters=DELIMITERS[form], max_bytes=max_line_bytes)


def prompts_of_objects(
    objects: Iterable[Mapping[str, Any]], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    """Yield the prompts of lines that are parsed already, as `read_prompts` does for text."""
    return _made(enumerate(objects, start=1), options, _of_parsed)


def prompts_of_texts(
    texts: Iterable[str], options: InputOptions
) -> Iterator[NewPrompt | LineError]:
    """Yield a prompt for each text."""
    return _made(enumerate(texts, start=1), options, _of_long_text)


def _text_lines(
    lines: Iterable[tuple[int, str] | BadLine], options: InputOptions
) -> Iterator[tuple[int, str] | LineError]:
    began = False
    for item in lines:
        if isinstance(item, BadLine):
            yield _bad(item)
        elif text := item[1].strip():
            if not began and _is_header(text, options.column):
                message = TABLE.format(quoted(options.column))
                yield LineError(item[0], "invalid_line", message, "line")
                return
            began = True
            yield item[0], text


def _is_header(line: str, column: str) -> bool:
    """Return True for the header of a table as Excel writes it as "Unicode text"."""
    return "\t" in line and column in map(str.strip, line.split("\t"))


def _json_lines(
    lines: Iterable[tuple[int, str] | BadLine], options: InputOptions
) -> Iterator[tuple[int, str] | LineError]:
    began = False
    for item in lines:
        if isinstance(item, BadLine):
            yield _bad(item)
        elif text := item[1].strip():
            if not began and not options.strict and begins_as_document(text):
                # Report one error, not one for each line of the document.
                yield LineError(item[0], "invalid_json_line", NOT_LINES, "line")
                return
            began = True
            # With its leading spaces, since errors name a column.
            yield item[0], item[1].rstrip(" \t\r\n")


def begins_as_document(line: str) -> bool:
    """Return True if the first line of a file begins a JSON document of several lines."""
    return line.startswith("[") or line.strip() == "{"


def _bad(line: BadLine) -> LineError:
    return LineError(line.number, line.code, line.message)


def _text_table(
    lines: Iterable[tuple[int, str] | BadLine], options: InputOptions
) -> Iterator[TableItem]:
    return read_rows(
        iter(lines),
        columns=_columns_of_prompts(options),
        delimiters=DELIMITERS[options.format],
        max_bytes=options.max_line_bytes,
    )


def _of_table_file(stream: BinaryIO, options: InputOptions) -> Iterator[NewPrompt | LineError]:
    doubts: list[StrictProblem] = []
    table = _table_file(
        stream,
        options.format,
        columns=_columns_of_prompts(options),
        max_bytes=options.max_line_bytes,
    )
    items = _of_table(table, options, _templated(options), doubts)
    return _with_doubt(items, lambda: doubts[0] if doubts else None)


def _table_file(
    stream: BinaryIO, form: InputFormat, *, columns: Collection[str], max_bytes: int
) -> Generator[TableItem]:
    # It loads Parquet or a parser of XML, which other inputs do not need.
    from batches.inputs.table_files.reading import read_table  # noqa: PLC0415 - takes long

    return read_table(stream, form, columns=columns, max_bytes=max_bytes)


def _columns_of_prompts(options: InputOptions) -> Collection[str]:
    return options.template.columns if options.template else (options.column,)


def _of_table(
    table: Iterator[TableItem],
    options: InputOptions,
    templated: "TemplatedRows | None",
    doubts: list[StrictProblem],
) -> Iterator[NewPrompt | LineError]:
    """Yield the prompts of the rows of a table; add to `doubts` what the user should know."""
    rows = _table_rows(table, options, templated, doubts)
    make = templated.of_row if templated else _of_row
    return _made(rows, options, make, unit="row", rows=templated)


def _table_rows(
    table: Iterator[TableItem],
    options: InputOptions,
    templated: "TemplatedRows | None",
    doubts: list[StrictProblem],
) -> Iterator[tuple[int, Mapping[str, Cell]] | LineError]:
    for row in table:
        if isinstance(row, EmptyRow):
            options.empty_rows["row"] += row.count
        elif isinstance(row, TableRow):
            yield row.number, row.cells
        elif isinstance(row, TableHeader):
            if row.doubt:
                doubts.append(StrictProblem(FIRST_SHEET, "file", row.doubt))
            if templated is not None:
                templated.begin(row.columns)
        elif row.number is None:
            # The header of a text is its first line; other tables have no lines.
            line = int(options.format not in TABLE_FILES)
            yield LineError(line, row.code, row.message, row.param)
        else:
            yield LineError(row.number, row.code, row.message, row.param, "row")


def _templated(options: InputOptions) -> "TemplatedRows | None":
    if options.template is None:
        return None
    # It loads Jinja, which other inputs do not need.
    from batches.inputs.row_templates.rows import TemplatedRows  # noqa: PLC0415 - takes long

    return TemplatedRows(options.template, options.endpoint, options.image_folder)


def _made(
    items: Iterable[tuple[int, T] | LineError],
    options: InputOptions,
    make: Callable[[T, InputOptions], Request],
    *,
    unit: Unit = "line",
    rows: "TemplatedRows | None" = None,
) -> Iterator[NewPrompt | LineError]:
    """Yield the prompt that `make` finds in the content of each line, or its errors."""
    for item in items:
        if isinstance(item, LineError):
            yield item
            continue
        line, content = item
        try:
            request = make(content, options)
            prompt = _prompt(line, request, options, unit)
            if rows is not None:
                _keep_row(prompt, rows, options)
        except PromptRejected as error:
            yield LineError(line, error.code, error.message, error.param, unit)
        except LineRefused as error:
            for code, message, param in error.faults:
                yield LineError(line, code, message, param, unit)
        else:
            yield prompt


def _prompt(line: int, request: Request, options: InputOptions, unit: Unit) -> NewPrompt:
    """Return the prompt of a request. Raise PromptRejected."""
    custom_id, body = request
    whole = whole_body(options.defaults, body)
    asked = check_body(whole, options.endpoint)
    model = whole.get("model")
    check_model(model, options.models)
    custom_id = checked_id(custom_id or f"{unit}-{line}")
    text = body_text(body)
    schema_bytes, warnings = _of_schemas(asked, options)
    return NewPrompt(line, custom_id, text, warnings, unit, model or "", schema_bytes)


def _keep_row(prompt: NewPrompt, rows: "TemplatedRows", options: InputOptions) -> None:
    """Keep the row beside the prompt that was made of it. Raise PromptRejected or LineRefused."""
    _check_chars(prompt.body, options)
    prompt.row, prompt.columns, doubts = rows.kept()
    prompt.warnings += doubts


def _of_schemas(
    asked: Sequence[AskedSchema], options: InputOptions
) -> tuple[tuple[int, ...], tuple[StrictProblem, ...]]:
    """Return the sizes of a prompt's schemas, and the warnings about what a provider may refuse.

    Raise PromptRejected for an invalid schema, also for one of the defaults.
    """
    if not asked:
        return (), ()
    own: list[AskedSchema] = []
    for one in asked:
        if options.known.knows(one):
            options.known.model_of(one)
        else:
            own.append(one)
    sizes = options.bill.count(own)
    if not options.bill.is_checked(own):
        return sizes, ()
    return sizes, tuple(strict_warnings(own, strict_schemas=options.strict_schemas))


def check_model(model: str | None, models: frozenset[str], *, param: str = "body.model") -> None:
    """Raise PromptRejected for a model that the provider does not list, if it lists any.

    A missing model is accepted: some endpoints have a default.
    """
    if models and model is not None and model not in models:
        known = sorted(models)
        hint = f"{supported(known[:MAX_NAMED])}{did_you_mean(model, known)}"
        raise wrong_value(param, model, hint, code="model_not_found")


def _of_json(text: str, options: InputOptions) -> Request:
    if options.strict:
        return strict_request_of(parse_strict_line(text), options.endpoint)
    return request_of(parse_line(text), options.endpoint, options.defaults)


def _of_parsed(line: Mapping[str, Any], options: InputOptions) -> Request:
    check_depth(line)
    if "body" in line:
        # All lines have the same endpoint, so they need not repeat it.
        line = {"method": "POST", "url": options.endpoint, **line}
    custom_id, body = request_of(dict(line), options.endpoint, options.defaults)
    _check_size(body, options)
    return custom_id, body


def _of_long_text(text: str, options: InputOptions) -> Request:
    custom_id, body = _of_text(text, options)
    _check_size(body, options)
    return custom_id, body


def _check_size(body: dict[str, Any], options: InputOptions) -> None:
    _check_chars(body_text(body), options)


def _check_chars(text: str, options: InputOptions) -> None:
    size = len(text)
    if size > options.max_line_bytes:
        most = f"{options.max_line_bytes} bytes (MAX_LINE_BYTES)"
        message = f"'body' is too long: {size} bytes. The most is {most}."
        raise LineRefused(("invalid_line", message, "body"))


def _of_text(text: str, options: InputOptions) -> Request:
    return None, prompt_body(text, options.endpoint, options.defaults)


def _of_line(text: str, options: InputOptions) -> Request:
    fault = text_fault(text, allow_nul=False)
    if fault:
        raise LineRefused(("invalid_line", f"The line {fault}", "line"))
    return _of_text(text, options)


def _of_row(cells: Mapping[str, Cell], options: InputOptions) -> Request:
    column = options.column
    text = cell_text(cells.get(column))
    if not text.strip():
        raise missing(column, f"The row has nothing in the column '{column}'.")
    fault = text_fault(text, allow_nul=False)
    if fault:
        raise PromptRejected(f"The cell in the column '{column}' {fault}", param=column)
    body = prompt_body(text, options.endpoint, options.defaults)
    return cell_text(cells.get("custom_id")) or None, body
