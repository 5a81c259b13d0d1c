"""Tables as spreadsheets write them, in all locales."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.input_formats import InputFormat
from batches.inputs.prompts import LineError, NewPrompt
from tests.inputs.test_inputs import faults, prompts, read

DELIMITERS = [",", ";", "\t", "|"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


def table(rows: Sequence[Sequence[str]], *, delimiter: str = ",", sep: bool = False) -> str:
    """Rows as Excel writes them: quotes where they are needed, and Windows line ends."""
    file = io.StringIO()
    if sep:
        file.write(f"sep={delimiter}\r\n")
    csv.writer(file, dialect="excel", delimiter=delimiter).writerows(rows)
    return file.getvalue()


def asked(items: list[NewPrompt | LineError]) -> list[Any]:
    return [json.loads(p.body)["messages"][0]["content"] for p in prompts(items)]


ROWS = [
    ["id", "prompt", "custom_id"],
    ["1", 'a "b", c; d|e\tf', "x"],
    ["2", "two\nlines", "y"],
    ["3", "Grüße, 5 € – ça va", "z"],
]


@pytest.mark.parametrize("encoding", [*ENCODINGS, "cp1252"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("sep", [True, False])
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_every_delimiter_and_encoding_is_found_out(
    encoding: str, delimiter: str, form: InputFormat, *, sep: bool
) -> None:
    got = read(table(ROWS, delimiter=delimiter, sep=sep).encode(encoding), form=form)
    assert asked(got) == [row[1] for row in ROWS[1:]]
    assert [p.custom_id for p in prompts(got)] == ["x", "y", "z"]
    assert [(p.unit, p.line) for p in prompts(got)] == [("row", n) for n in (1, 2, 3)]


cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"), max_size=20
).filter(str.strip)


@given(
    texts=st.lists(cells, min_size=1, max_size=4),
    encoding=st.sampled_from(ENCODINGS),
    delimiter=st.sampled_from(DELIMITERS),
    sep=st.booleans(),
    empty_columns=st.integers(0, 3),
    empty_rows=st.integers(0, 3),
)
def test_any_table_of_a_spreadsheet_comes_back(
    texts: list[str],
    encoding: str,
    delimiter: str,
    empty_columns: int,
    empty_rows: int,
    *,
    sep: bool,
) -> None:
    rows = [["note", "prompt"], *([str(n), text] for n, text in enumerate(texts))]
    rows += [["", ""]] * empty_rows
    padded = [[*row, *[""] * empty_columns] for row in rows]
    raw = table(padded, delimiter=delimiter, sep=sep).encode(encoding)
    got = read(raw, form="csv")
    assert asked(got) == texts
    assert [p.custom_id for p in prompts(got)] == [f"row-{n + 1}" for n in range(len(texts))]


def test_empty_rows_are_passed_over_and_counted() -> None:
    raw = "prompt;id;;\r\na;1;;\r\n;;;\r\n\r\nb;2\r\n;;;\r\n;;;\r\n"
    got = read(raw.encode(), form="csv")
    assert [(p.line, p.custom_id) for p in prompts(got)] == [(1, "row-1"), (4, "row-4")]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;", "sep=;;", "Sep=; "])
def test_the_line_that_names_the_delimiter_is_no_header(first: str) -> None:
    got = read(f"{first}\r\na,b;prompt\r\n1;hi\r\n".encode(), form="csv")
    if first == "sep=;;":
        # Two characters are no delimiter, so that it is a header.
        assert faults(got) == [(1, "missing_column", "column")]
        return
    assert asked(got) == ["hi"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("prompt,prompt", "The header names 'prompt' more than once, in columns 1 and 2."),
        ("prompt;id;note;id", "The header names 'id' more than once, in columns 2 and 4."),
        ("a\tprompt\ta\ta", "The header names 'a' more than once, in columns 1, 3 and 4."),
        ("prompt, prompt", "The header names 'prompt' more than once, in columns 1 and 2."),
        ('custom_id,"prompt","custom_id"', "names 'custom_id' more than once, in columns 1 and 3."),
    ],
)
def test_a_name_that_stands_twice_in_the_header_is_refused_with_its_places(
    header: str, says: str
) -> None:
    [error] = read(f"{header}\nx,y\n".encode(), form="csv")
    assert isinstance(error, LineError)
    assert (error.code, error.param) == ("duplicate_column", "column")
    assert says in error.message
    assert "Rename all but one of them." in error.message


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("Prompt;id", "Did you mean 'Prompt'?"),
        ("promt,id", "Did you mean 'promt'?"),
        ("prompts\tid", "Did you mean 'prompts'?"),
        ("a,PROMPT ", "Did you mean 'PROMPT'?"),
        ("question,answer", ""),
    ],
)
def test_a_column_that_is_not_there_is_told_with_what_may_have_been_meant(
    header: str, meant: str
) -> None:
    [error] = read(f"{header}\nx\n".encode(), form="csv")
    assert isinstance(error, LineError)
    assert error.message.startswith(f"There is no column 'prompt'. {meant or 'The header names '}")
    assert ("Did you mean" in error.message) == bool(meant)


def test_the_delimiter_is_that_under_which_the_header_has_the_column() -> None:
    assert asked(read(b"a;b;c,prompt,d\n1;2;3,hi,4\n", form="csv")) == ["hi"]
    assert asked(read(b"prompt\nhi; there\n", form="csv")) == ["hi; there"]
    assert asked(read(b"prompt\nhi, there\n", form="tsv")) == ["hi, there"]
    assert asked(read(b'"the\nprompt";prompt\nx;hi\n', form="csv")) == ["hi"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (
            "prompt;id\nfine;1\na;b;c\n",
            "row 2: The row is not CSV: it has 3 fields, ",
        ),
        ("prompt;id\nfine;1\n;2\n", "row 2: Missing required parameter: 'prompt'."),
        ('prompt;id\nfine;1\n"a"b;c\n', "row 2: The row is not CSV: "),
        ("prompt;custom_id\nfine;1\n" + "a;" + "x" * 513, "row 2: Invalid value for 'custom_id'"),
    ],
)
def test_an_error_names_its_row(raw: str, says: str) -> None:
    good, bad = read(raw.encode(), form="csv")
    assert isinstance(good, NewPrompt)
    assert str(bad).startswith(says)


def test_a_header_whose_quotes_never_close_is_refused_at_once() -> None:
    raw = b'"prompt\n' + b"x\n" * 5000
    [error] = read(raw, form="csv")
    assert str(error) == "line 1: The header is not CSV: its quotes do not match."


def test_a_table_that_excel_saved_as_unicode_text_is_not_taken_for_prompts() -> None:
    raw = table(ROWS, delimiter="\t").encode("utf-16")
    [error] = read(raw, form="text")
    assert "the header of a table, with tabs and the column 'prompt'" in str(error)
    assert "format tsv" in str(error)
    assert len(prompts(read(raw, form="tsv"))) == 3
