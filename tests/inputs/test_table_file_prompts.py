"""Prompts of workbooks and Parquet files, by a column or by a template."""

import gzip
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, cast

import pytest

from batches.inputs.input_formats import FIRST_SHEET, InputFormat
from batches.inputs.prompt_files import InputOptions, columns_of, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import file_messages
from tests.inputs.table_files import parquet
from tests.inputs.test_inputs import prompts
from tests.inputs.workbooks import written

Rows = Sequence[Sequence[Any]]


def as_parquet(rows: Rows) -> bytes:
    header, *others = rows
    return parquet({name: [row[n] for row in others] for n, name in enumerate(header)})


MAKERS: dict[InputFormat, Callable[[Rows], bytes]] = {"xlsx": written, "parquet": as_parquet}
FORMS = pytest.mark.parametrize("form", MAKERS)


def read(
    stream: bytes | BinaryIO, form: InputFormat, template: str = "", column: str = "prompt"
) -> list[NewPrompt | LineError]:
    messages = file_messages(template).messages if template else ()
    options = InputOptions(
        endpoint="/v1/chat/completions",
        defaults={"model": "m"},
        max_line_bytes=100_000,
        format=form,
        column=column,
        template=RowTemplate(messages, max_chars=100_000) if template else None,
    )
    opened = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    return list(read_prompts(opened, options))


def contents(items: list[NewPrompt | LineError]) -> list[str]:
    return [json.loads(prompt.body)["messages"][0]["content"] for prompt in prompts(items)]


@FORMS
def test_rows_with_a_column_of_prompts_are_prompts(form: InputFormat) -> None:
    raw = MAKERS[form]([("custom_id", "prompt"), (17, "a"), (None, "b"), (None, None), (0, "c")])
    items = read(raw, form)
    assert contents(items) == ["a", "b", "c"]
    assert [prompt.custom_id for prompt in prompts(items)] == ["17", "row-2", "0"]
    assert [prompt.line for prompt in prompts(items)] == [1, 2, 4]


@FORMS
def test_a_number_or_boolean_is_a_prompt_as_in_csv(form: InputFormat) -> None:
    assert contents(read(MAKERS[form]([("n",), (5,), (6,)]), form, column="n")) == ["5", "6"]
    assert contents(read(MAKERS[form]([("n",), (True,)]), form, column="n")) == ["true"]


@FORMS
def test_a_template_gets_the_types_of_the_cells(form: InputFormat) -> None:
    template = "{{ text }} {% if stars > 3 %}good{% else %}bad{% endif %} {{ ok | json }}"
    raw = MAKERS[form]([("text", "stars", "ok"), ("a", 4, True), ("b", 2, False)])
    items = read(raw, form, template)
    assert contents(items) == ["a good true", "b bad false"]
    assert json.loads(prompts(items)[0].row or "") == {"text": "a", "stars": 4, "ok": True}


def test_the_types_of_parquet_are_kept_with_the_columns() -> None:
    items = read(as_parquet([("a", "n"), ("x", 1)]), "parquet", "{{ a }}")
    assert prompts(items)[0].columns == (("a", "a", ""), ("n", "n", "int64"))
    items = read(written([("a", "n"), ("x", 1)]), "xlsx", "{{ a }}")
    assert prompts(items)[0].columns == (("a", "a"), ("n", "n"))


@FORMS
def test_errors_name_the_row_and_the_column(form: InputFormat) -> None:
    raw = MAKERS[form]([("prompt", "n"), ("a", 1), (" ", 2), ("c\0"[: 1 + (form == "parquet")], 3)])
    texts = [str(item) for item in read(raw, form) if isinstance(item, LineError)]
    assert texts[0].startswith("row 2: ")
    assert "'prompt'" in texts[0]
    if form == "parquet":
        assert texts[1].startswith("row 3: The cell in the column 'prompt' contains")


@FORMS
def test_a_missing_column_is_one_error_without_a_line(form: InputFormat) -> None:
    [error] = read(MAKERS[form]([("promt",), ("a",)]), form)
    assert str(error) == (
        "There is no column 'prompt'. Did you mean 'promt'? The header names 'promt'."
    )
    assert isinstance(error, LineError)
    assert (error.line, error.code) == (0, "missing_column")


def test_further_sheets_are_a_warning() -> None:
    first, second = prompts(read(written([("prompt",), ("a",), ("b",)], More="visible"), "xlsx"))
    [warning] = first.warnings
    assert warning.rule == FIRST_SHEET
    assert "'Sheet', was read" in warning.message
    assert not second.warnings


class Pipe:
    """A stream that can only be read."""

    def __init__(self, raw: bytes) -> None:
        self._file = io.BytesIO(raw)
        self.stops = False

    def read(self, size: int) -> bytes:
        if self.stops:
            raise InterruptedError
        return self._file.read(size)


@FORMS
def test_a_pipe_and_a_compressed_file_are_read(form: InputFormat) -> None:
    raw = MAKERS[form]([("prompt",), ("a",)])
    assert contents(read(cast("BinaryIO", Pipe(raw)), form)) == ["a"]
    assert contents(read(gzip.compress(raw), form)) == ["a"]
    assert contents(read(cast("BinaryIO", Pipe(gzip.compress(raw))), form)) == ["a"]


@FORMS
def test_a_stream_may_end_the_reading_between_rows(form: InputFormat) -> None:
    pipe = Pipe(MAKERS[form]([("prompt",), *(("a",) for _ in range(2000))]))
    options = InputOptions("/v1/chat/completions", {"model": "m"}, 1000, format=form)
    items = read_prompts(cast("BinaryIO", pipe), options)
    assert isinstance(next(items), NewPrompt)
    pipe.stops = True
    with pytest.raises(InterruptedError):
        list(items)


@FORMS
def test_the_columns_of_a_table_are_offered(form: InputFormat) -> None:
    raw = MAKERS[form]([("a", "b"), (1, 2)])
    assert columns_of(io.BytesIO(raw), form, column="x", max_line_bytes=100) == ["a", "b"]
    assert columns_of(io.BytesIO(raw[:50]), form, column="x", max_line_bytes=100) == []
