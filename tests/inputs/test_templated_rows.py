"""Tables with a template: each row is a prompt, and is kept beside it."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.input_formats import FORMULA_CELLS, InputFormat
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import file_messages
from batches.inputs.tables import MAX_COLUMNS, column_keys
from tests.inputs.test_inputs import faults, prompts

CHAT = "/v1/chat/completions"


def read(
    raw: bytes | str,
    template: str = "{{ review }}",
    *,
    form: InputFormat = "csv",
    endpoint: str = CHAT,
    max_line_bytes: int = 100_000,
) -> list[NewPrompt | LineError]:
    messages = file_messages(template).messages
    options = InputOptions(
        endpoint=endpoint,
        defaults={"model": "m"},
        max_line_bytes=max_line_bytes,
        format=form,
        template=RowTemplate(messages, max_chars=max_line_bytes),
    )
    stream = io.BytesIO(raw.encode() if isinstance(raw, str) else raw)
    return list(read_prompts(stream, options))


def bodies(items: list[NewPrompt | LineError]) -> list[Any]:
    return [json.loads(prompt.body) for prompt in prompts(items)]


def errors(items: list[NewPrompt | LineError]) -> list[str]:
    return [str(item) for item in items if isinstance(item, LineError)]


def kept(items: list[NewPrompt | LineError]) -> list[dict[str, Any]]:
    return [json.loads(prompt.row or "null") for prompt in prompts(items)]


def columns(items: list[NewPrompt | LineError]) -> list[str]:
    return [name for prompt in prompts(items) for name, *_ in prompt.columns]


TABLE = 'id,review,stars\n1,good,5\n2,"so\n""so""",3\n'


def test_each_row_is_a_prompt_with_its_row() -> None:
    items = read(TABLE, "{# system #}\nRate.\n{# user #}\n{{ review }} ({{ stars }})\n")
    assert bodies(items) == [
        {"messages": [
            {"role": "system", "content": "Rate."},
            {"role": "user", "content": "good (5)"},
        ]},
        {"messages": [
            {"role": "system", "content": "Rate."},
            {"role": "user", "content": 'so\n"so" (3)'},
        ]},
    ]  # fmt: skip
    assert kept(items) == [
        {"id": "1", "review": "good", "stars": "5"},
        {"id": "2", "review": 'so\n"so"', "stars": "3"},
    ]
    assert columns(items) == ["id", "review", "stars"]
    assert [prompt.custom_id for prompt in prompts(items)] == ["row-1", "row-2"]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"instructions": "S", "input": "a"}),
        ("/v1/chat/completions", {"messages": [
            {"role": "system", "content": "S"}, {"role": "user", "content": "a"}]}),
    ],
)  # fmt: skip
def test_the_body_is_in_the_dialect_of_the_endpoint(endpoint: str, body: dict[str, Any]) -> None:
    items = read("review\na\n", "{# system #}\nS\n{# user #}\n{{ review }}", endpoint=endpoint)
    assert bodies(items) == [body]


def test_earlier_turns_of_responses_are_items() -> None:
    template = "{# user #}\nA\n{# assistant #}\nB\n{# user #}\n{{ review }}"
    assert bodies(read("review\na\n", template, endpoint="/v1/responses")) == [
        {"input": [
            {"type": "message", "role": "user", "content": "A"},
            {"type": "message", "role": "assistant", "content": "B"},
            {"type": "message", "role": "user", "content": "a"},
        ]}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "field"), [("/v1/embeddings", "input"), ("/v1/completions", "prompt")]
)
def test_an_endpoint_of_one_text_gets_the_text(endpoint: str, field: str) -> None:
    assert bodies(read("review\na\n", endpoint=endpoint)) == [{field: "a"}]


def test_a_name_that_is_no_column_is_one_error_with_the_columns() -> None:
    items = read(TABLE, "{{ revew }} {{ row['starz'] }} {{ id }}")
    [error] = items
    assert isinstance(error, LineError)
    assert error.line == 1
    assert "'revew', 'starz'" in error.message
    assert "Did you mean 'review'? Did you mean 'stars'?" in error.message
    assert "The header names 'id', 'review', 'stars'." in error.message


def test_the_delimiter_is_the_one_that_gives_the_columns() -> None:
    items = read("review;price, net\nnice, cheap;3,5\n", "{{ review }}|{{ row['price, net'] }}")
    assert bodies(items)[0]["messages"][0]["content"] == "nice, cheap|3,5"


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        (["a", " b "], ["a", "b"]),
        (["", "a"], ["", "a"]),
        (["", "a", ""], ["", "a", "column 3"]),
        (["", "", "column 2"], ["", "column 2_", "column 2"]),
    ],
)
def test_each_column_has_a_name_of_its_own(written: list[str], keys: list[str]) -> None:
    assert column_keys(written) == keys


def test_cells_of_columns_without_a_name_are_kept() -> None:
    items = read(",review,,\n0,a,x,\n1,b,,y\n2,c\n")
    assert kept(items) == [
        {"": "0", "review": "a", "column 3": "x", "column 4": ""},
        {"": "1", "review": "b", "column 3": "", "column 4": "y"},
        {"": "2", "review": "c", "column 3": "", "column 4": ""},
    ]
    assert columns(items) == ["", "review", "", ""]


def test_a_row_that_fails_is_named_with_its_number() -> None:
    items = read("review,n\na,1\nb,0\nc,x\n", "{{ 1 / (n | int) }}")
    assert faults(items) == [(2, "template_failed", "template"), (3, "template_failed", "template")]
    assert errors(items)[0].startswith("row 2: The template cannot be applied")


@pytest.mark.parametrize("cell", ["a\0b"])
def test_a_cell_that_cannot_be_stored_is_named_by_row_and_column(cell: str) -> None:
    [error] = errors(read(f"review,note\nfine,{cell}\n"))
    assert "row 1: The cell in the column 'note' contains the character NUL" in error


def test_a_formula_is_kept_and_told_once() -> None:
    items = read("review,n\na,-5\nb,+49 1.5%\nc,=1+1\nd,@SUM(A1)\n")
    assert [[w.rule for w in prompt.warnings] for prompt in prompts(items)] == [
        [], [], [FORMULA_CELLS], []]  # fmt: skip
    assert [row["n"] for row in kept(items)] == ["-5", "+49 1.5%", "=1+1", "@SUM(A1)"]


def test_a_prompt_that_is_longer_than_a_line_may_be_is_refused() -> None:
    table = "review\n" + "'" * 300 + "\nok\n" + "\t" * 300 + "x\n"
    items = read(table, "{{ review }}" * 3 + "{{ review }}", max_line_bytes=1000)
    assert faults(items) == [(1, "template_failed", "template"), (3, "template_failed", "template")]
    assert faults(
        read("review\n" + "\t" * 300 + "x\n", "{{ review }}" * 3, max_line_bytes=1000)
    ) == [(1, "invalid_line", "body")]


# Lines of JSON.


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_line_of_json_is_a_row() -> None:
    rows = [
        {"review": "good", "stars": 5, "new": True, "note": None, "price": 1.5, "custom_id": "x"},
        {"stars": 1, "review": "bad", "extra": "e"},
    ]
    items = read(jsonl(*rows), "{{ review }} {{ stars + 1 }} {{ row | json }}", form="jsonl")
    assert kept(items) == rows
    assert [prompt.unit for prompt in prompts(items)] == ["line", "line"]
    assert [prompt.custom_id for prompt in prompts(items)] == ["x", "line-2"]
    assert bodies(items)[1]["messages"][0]["content"].startswith('bad 2 {"stars":1')
    assert columns(items) == ["review", "stars", "new", "note", "price", "custom_id", "extra"]


@pytest.mark.parametrize(("value", "kind"), [([1], "an array"), ({"a": 1}, "an object")])
def test_a_nested_cell_is_refused_with_its_line_and_column(value: Any, kind: str) -> None:
    items = read(jsonl({"review": "a"}, {"review": "b", "tags": value}), form="jsonl")
    [error] = errors(items)
    assert f"line 2: The column 'tags' has {kind}." in error


def test_a_line_without_a_column_of_the_template_is_told_once() -> None:
    items = read(jsonl({"a": 1}, {"review": "x"}, {"b": 1}), form="jsonl")
    assert errors(items) == ["line 1: There is no column 'review'. The row has 'a'."]


def test_the_number_of_columns_is_bounded() -> None:
    rows = [{"review": "x", **{f"c{n}-{i}": 1 for i in range(6_000)}} for n in range(3)]
    assert faults(read(jsonl(*rows), form="jsonl", max_line_bytes=10**6)) == [
        (3, "too_many_columns", "columns")
    ]
    header = ",".join(["review", *(f"c{n}" for n in range(MAX_COLUMNS))])
    assert faults(read(f"{header}\nx\n", max_line_bytes=10**6)) == [
        (1, "too_many_columns", "column")
    ]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_every_cell_is_kept_as_it_is(rows: list[tuple[str, str]]) -> None:

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["review", "note"])
    writer.writerows(rows)
    found = kept(read(text.getvalue(), "{{ row | json }}"))
    texts = [row for row in rows if any(cell.strip() for cell in row)]
    assert [(row["review"], row["note"]) for row in found] == texts
