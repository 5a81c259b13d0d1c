"""The first rows of a table, and the prompts that a template makes of them.

Only the beginning of the table is read, so that a preview of a large file takes no longer.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from batches.admin.batches.creation.form import BatchForm
from batches.admin.batches.creation.template_fields import (
    PARTS,
    USER,
    FormTemplate,
    PartRefused,
)
from batches.conf import conf
from batches.engine.endpoints import CHAT
from batches.engine.errors import PromptRejected
from batches.inputs.input_formats import TABLE_FILES, TABLES, InputFormat
from batches.inputs.prompt_files import InputOptions, columns_of, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.row_templates.images import with_images_shown
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sandbox import RESERVED
from batches.inputs.row_templates.sources import TemplateMessage
from batches.inputs.tables import NO_COLUMN
from batches.inputs.text_lines import PIECE_BYTES, UnreadableFile, utf8_stream

# The beginning that is read, unpacked.
MOST_BYTES = 256 * 1024
# A workbook or Parquet file is read as a whole, if it has no more bytes than this.
MOST_WHOLE_BYTES = 4 * 1024 * 1024
TOO_LARGE = (
    "The columns and the first prompts of a workbook or Parquet file are shown here up to 4 MB. "
    "Press Preview to read the whole file."
)
MOST_ROWS = 5
MOST_COLUMNS = 100
# What is shown of a prompt and of a cell.
PROMPT_CHARS = 4000
CELL_CHARS = 60
# Words of the language of templates that are no names of columns there.
_WORDS = frozenset(
    {*RESERVED, *("and", "or", "not", "in", "is", "if", "else", "elif", "for", "set"), "endif"}
    | {*("true", "false", "none", "True", "False", "None", "endfor", "raw", "recursive")}
)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column, the way to write it in a template, and the beginning of its first cell."""

    name: str
    written: str
    cell: str


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """The messages for a row; the text is shortened if `is_cut`."""

    place: str
    messages: list[dict[str, str]]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The columns of a table, its first prompts, and errors by the field that they come from."""

    columns: list[ShownColumn] = field(default_factory=list)
    more_columns: int = 0
    prompts: list[ShownPrompt] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)


def first_rows(form: BatchForm, *, is_cut: bool) -> FirstRows:
    """Return the first rows of the table of a form, which may be the beginning of a file.

    `is_cut` says that a browser has sent only the beginning.
    """
    errors = {name: list(map(str, form.errors[name])) for name in PARTS if name in form.errors}
    reading = form.table_format()
    if reading is None:
        return FirstRows(errors=errors)
    try:
        with form.source() as stream:
            table, is_cut = _table_in(stream, reading, is_cut=is_cut)
    except UnreadableFile as error:
        return FirstRows(errors={**errors, "file": [error.message]})
    rows, faults = _rows_of(table, reading, is_cut=is_cut)
    names = _names(rows) or _header(table, reading)
    shown = FirstRows(
        columns=[_column(name, rows) for name in names[:MOST_COLUMNS]],
        more_columns=max(0, len(names) - MOST_COLUMNS),
        errors={**errors, **({"file": [str(fault) for fault in faults]} if faults else {})},
    )
    template = form.given_template
    return _with_prompts(shown, rows, template, form.chosen_endpoint()) if template else shown


def _table_in(stream: BinaryIO, form: InputFormat, *, is_cut: bool) -> tuple[bytes, bool]:
    """Return the beginning of a text, or the whole of another file. Raise UnreadableFile."""
    if form not in TABLE_FILES:
        return _beginning(stream, is_cut=is_cut)
    whole = stream.read(MOST_WHOLE_BYTES + 1)
    if is_cut or len(whole) > MOST_WHOLE_BYTES:
        raise UnreadableFile(TOO_LARGE)
    return whole, False


def _beginning(stream: BinaryIO, *, is_cut: bool) -> tuple[bytes, bool]:
    """Return whole lines from the beginning, as UTF-8 or Windows-1252; True if others follow.

    Raise UnreadableFile.
    """
    text = utf8_stream(stream)
    found = bytearray()
    try:
        while len(found) < MOST_BYTES and (piece := text.read1(PIECE_BYTES)):
            found += piece
    except UnreadableFile:
        # What a browser has cut cannot be unpacked to its end.
        if not (is_cut and found):
            raise
    is_cut = is_cut or len(found) >= MOST_BYTES
    end = found.rfind(b"\n") + 1 if is_cut else len(found)
    return bytes(found[:end] or found), is_cut


def _rows_of(
    table: bytes, form: InputFormat, *, is_cut: bool
) -> tuple[list[NewPrompt], list[LineError]]:
    """Return the first rows, and the errors among them."""
    # A template that every row can be made a prompt with.
    plain = RowTemplate(
        [TemplateMessage(role="user", content="row")], max_chars=conf().MAX_LINE_BYTES
    )
    options = InputOptions(
        endpoint=CHAT,
        defaults={"model": "any"},
        max_line_bytes=conf().MAX_LINE_BYTES,
        format=form,
        template=plain,
    )
    found = list(islice(_whole(read_prompts(io.BytesIO(table), options), is_cut=is_cut), MOST_ROWS))
    rows = [item for item in found if isinstance(item, NewPrompt)]
    return rows, [item for item in found if isinstance(item, LineError)]


def _whole(
    items: Iterator[NewPrompt | LineError], *, is_cut: bool
) -> Iterator[NewPrompt | LineError]:
    """Yield the items without the error of a row whose end is not there."""
    for item in items:
        if is_cut and isinstance(item, LineError) and "unexpected end of data" in item.message:
            return
        yield item


def _names(rows: Sequence[NewPrompt]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for _, key, *_ in row.columns))


def _header(table: bytes, form: InputFormat) -> list[str]:
    """Return the columns of a table without rows."""
    if form not in TABLES:
        return []
    most = conf().MAX_LINE_BYTES
    return columns_of(io.BytesIO(table), form, column="", max_line_bytes=most)


def _column(name: str, rows: Sequence[NewPrompt]) -> ShownColumn:
    is_name = _NAME.fullmatch(name) and name not in _WORDS
    written = name if is_name else f"row[{json.dumps(name, ensure_ascii=False)}]"
    cell = _cells(rows[0]).get(name) if rows else None
    text = cell if isinstance(cell, str) else json.dumps(cell) if cell is not None else ""
    return ShownColumn(name, f"{{{{ {written} }}}}", _shortened(text, CELL_CHARS))


def _cells(row: NewPrompt) -> Mapping[str, Any]:
    cells: dict[str, Any] = json.loads(row.row or "{}")
    return cells


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _with_prompts(
    shown: FirstRows, rows: Sequence[NewPrompt], template: FormTemplate, endpoint: str
) -> FirstRows:
    """Add the prompts of the rows, and the errors of the template at its fields."""
    errors = {name: list(texts) for name, texts in shown.errors.items()}
    prompts: list[ShownPrompt] = []
    try:
        template.check_against(endpoint, {})
    except PartRefused as refused:
        errors.setdefault(refused.field, []).append(refused.message)
        return replace(shown, errors=errors)
    seen: set[str] = set()
    for row in rows:
        try:
            messages = template.row_template.messages_for(_cells(row))
        except PromptRejected as error:
            if error.code != NO_COLUMN or error.message not in seen:
                text = str(row.fault(error.code, error.message, error.param))
                errors.setdefault(template.field_of(error) or USER, []).append(text)
            seen.add(error.message)
        else:
            prompts.append(_shown_prompt(row, messages))
    return replace(shown, prompts=prompts, errors=errors)


def _shown_prompt(row: NewPrompt, messages: list[dict[str, str]]) -> ShownPrompt:
    left = PROMPT_CHARS
    found = []
    messages = [{**one, "content": with_images_shown(one["content"])} for one in messages]
    for message in messages:
        text = message["content"][:left]
        left -= len(text)
        found.append({"role": message["role"], "content": text})
        if not left:
            break
    size, shown = (sum(len(one["content"]) for one in some) for some in (messages, found))
    return ShownPrompt(f"{row.unit} {row.line}", found, is_cut=shown < size)
