"""Files of prompts as tables: CSV."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.endpoints import ENDPOINTS
from batches.engine.prepare import prompt_body
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from tests.inputs.test_inputs import faults, prompts
from tests.inputs.test_inputs_hostile import peak_of

CHAT = "/v1/chat/completions"
BOM = b"\xef\xbb\xbf"


def read(
    raw: bytes | str,
    *,
    column: str = "prompt",
    endpoint: str = CHAT,
    max_line_bytes: int = 100_000,
) -> list[NewPrompt | LineError]:
    options = InputOptions(
        endpoint=endpoint,
        defaults={"model": "m"},
        max_line_bytes=max_line_bytes,
        format="csv",
        column=column,
    )
    stream = io.BytesIO(raw.encode() if isinstance(raw, str) else raw)
    return list(read_prompts(stream, options))


def asked(items: list[NewPrompt | LineError]) -> list[Any]:
    """The texts that the prompts ask."""
    return [json.loads(p.body)["messages"][0]["content"] for p in prompts(items)]


def test_a_row_is_a_prompt_with_the_id_that_it_has() -> None:
    got = read("custom_id,prompt,note\na,first,x\n,second,y\nc,third\n")
    assert asked(got) == ["first", "second", "third"]
    assert [p.custom_id for p in prompts(got)] == ["a", "row-2", "c"]
    assert [(p.unit, p.line) for p in prompts(got)] == [("row", 1), ("row", 2), ("row", 3)]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_row_is_asked_in_the_dialect_of_the_endpoint(endpoint: str) -> None:
    [prompt] = prompts(read("prompt\nhi\n", endpoint=endpoint))
    assert json.loads(prompt.body) == prompt_body("hi", endpoint)


def test_the_column_of_the_prompts_has_the_name_that_was_given() -> None:
    assert asked(read("prompt,question\na,b\n", column="question")) == ["b"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("start", [b"", BOM])
def test_a_table_may_come_from_any_machine(end: str, start: bytes, *, last: bool) -> None:
    raw = start + end.join(["prompt", "a", '"b"', "c"]).encode() + (end.encode() if last else b"")
    assert asked(read(raw)) == ["a", "b", "c"]


def test_a_quoted_field_may_hold_anything() -> None:
    raw = 'custom_id,prompt\n1,"a, b"\n2,"say ""hi"""\n3,"one\ntwo\r\n\nthree"\n4,last\n'
    got = read(raw)
    assert asked(got) == ["a, b", 'say "hi"', "one\ntwo\r\n\nthree", "last"]
    assert prompts(got)[-1].line == 4


def test_prompts_without_an_id_get_different_ones_also_behind_rows_of_several_lines() -> None:
    got = prompts(read('prompt\n"a\nb"\n"c\nd"\n\ne\n'))
    assert len({p.custom_id for p in got}) == 3


def test_blank_lines_are_passed_over_but_counted() -> None:
    assert [p.line for p in prompts(read("prompt\n\n\na\n\nb\n\n"))] == [3, 5]


def test_the_space_around_a_prompt_is_kept() -> None:
    assert asked(read("prompt\n  a  \n")) == ["  a  "]


@pytest.mark.parametrize("raw", ["", "\n"])
def test_a_table_without_a_header_is_refused(raw: str) -> None:
    got = read(raw)
    assert faults(got) == [(1, "missing_header", "column")]
    assert "its first line must name the columns" in str(got[0])


@pytest.mark.parametrize(
    ("raw", "there"),
    [
        ("question\nhi\n", "'question'"),
        ("Prompt\nhi\n", "'Prompt'"),
        ("prompt.id\nhi.1\n", "'prompt.id'"),
        ("a,b\n1,2\n", "'a', 'b'"),
    ],
)
def test_a_table_without_the_column_is_refused_with_the_names_it_has(raw: str, there: str) -> None:
    got = read(raw)
    assert faults(got) == [(1, "missing_column", "column")]
    assert "'prompt'" in str(got[0])
    assert str(got[0]).endswith(f"The header names {there}.")


def test_a_table_without_rows_has_no_prompts() -> None:
    assert read("prompt\n") == []
    assert read("prompt") == []


@pytest.mark.parametrize("row", [",a", '"",a', '" ",a', ' "",a'])
def test_a_row_without_a_prompt_is_named_and_its_neighbours_are_read(row: str) -> None:
    if row.startswith(' "'):
        # A quote that does not begin a field is a letter like any other.
        assert asked(read(f"prompt,custom_id\n{row}\n")) == [' ""']
        return
    got = read(f"prompt,custom_id\nfirst,1\n{row}\nlast,3\n")
    assert faults(got) == [(2, "missing_required_parameter", "prompt")]
    assert [item.line for item in got] == [1, 2, 3]


def test_a_row_that_is_too_short_for_its_prompt_is_named() -> None:
    assert faults(read("custom_id,prompt\na\nb,hi\n")) == [
        (1, "missing_required_parameter", "prompt")
    ]


@pytest.mark.parametrize("raw", ["prompt\nfirst\nHello, world\nlast\n", "prompt,x\na,1\nb,2,3\n"])
def test_a_row_with_more_fields_than_the_header_is_refused_rather_than_cut(raw: str) -> None:
    # Mostly a text with a comma and without quotes; half of it would be sent.
    [(number, code, _)] = faults(read(raw))
    assert (number, code) == (2, "invalid_csv_line")


@pytest.mark.parametrize(
    ("custom_id", "param"), [("x" * 513, "custom_id"), ("a\x00b", "custom_id")]
)
def test_an_id_that_cannot_be_stored_is_named(custom_id: str, param: str) -> None:
    got = read(f"prompt,custom_id\nfirst,1\nhi,{custom_id}\n")
    assert faults(got) == [(2, "invalid_value", param)]


@pytest.mark.parametrize("row", ['"abc', '"a"b', '"a" ,', "a\rb"])
def test_what_is_not_csv_is_named_with_its_line(row: str) -> None:
    got = read(f"prompt\nfirst\n{row}\n")
    assert faults(got)[0][:2] == (2, "invalid_csv_line")
    assert len(faults(got)) == 1
    assert "not CSV" in str(got[-1])


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\xcf\xf0\xe8", "invalid_encoding"),
        (b"x" * 101, "invalid_line"),
        (b"\xff\xfe\xfd", "invalid_encoding"),
    ],
)
def test_a_bad_line_ends_the_reading_since_no_row_after_it_is_certain(
    bad: bytes, code: str
) -> None:
    got = read(b"prompt\nfirst\n" + bad + b"\nlast\n", max_line_bytes=100)
    assert [item.line for item in got] == [1, 2]
    assert faults(got) == [(2, code, None)]


@pytest.mark.parametrize("bad", [b"\xcf\xf0\xe8", b"x" * 101])
def test_a_bad_line_inside_a_row_is_the_only_fault(bad: bytes) -> None:
    got = read(b'prompt\nfirst\n"a\n' + bad + b'\nb"\nlast\n', max_line_bytes=100)
    assert [number for number, _, _ in faults(got)] == [2]


def test_a_bad_header_is_the_only_fault() -> None:
    assert faults(read(b"prompt,\xcf\xf0\xe8\nhi,1\n")) == [(1, "invalid_encoding", None)]


def test_a_field_over_many_lines_has_the_limit_of_a_line() -> None:
    got = read('prompt\n"' + "a line\n" * 100 + '"\n', max_line_bytes=100)
    assert [code for _, code, _ in faults(got)] == ["invalid_csv_line"]
    assert asked(read('prompt\n"' + "a line\n" * 10 + '"\n', max_line_bytes=100))


def test_a_row_that_never_ends_is_not_held() -> None:
    # Each field and each line of it is short.
    opening = iter([b'prompt\n"a'])
    more = (b'\n","b' * 1000 for _ in range(1000))
    count, peak = peak_of((piece for source in (opening, more) for piece in source), "csv")
    assert count == 1
    assert peak < 1_000_000


@given(
    rows=st.lists(
        st.text(
            st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
            min_size=1,
            max_size=30,
        ).filter(str.strip),
        min_size=1,
        max_size=5,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_survives_in_a_table(rows: list[str], end: str) -> None:
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(["prompt", "custom_id"])
    writer.writerows([text, f"row {number}"] for number, text in enumerate(rows))
    got = read(file.getvalue())
    assert asked(got) == rows
    assert [p.custom_id for p in prompts(got)] == [f"row {number}" for number in range(len(rows))]


def test_reading_short_rows_lowers_no_limit_of_other_readers_in_this_process() -> None:
    long = "x" * 1_000
    assert asked(read(f"prompt\n{long}\n")) == [long]
    assert faults(read(f"prompt\n{long}\n", max_line_bytes=30))
    assert list(csv.reader([long])) == [[long]]
