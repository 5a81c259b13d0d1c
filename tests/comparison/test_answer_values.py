"""Answers by field, and which values are the same or right."""

from typing import Any

import pytest

from batches.comparison.answer_values import (
    MOST_CHARS,
    difference_of,
    fields_of,
    in_words,
    is_known,
    is_right,
    is_same,
    label_of,
)


@pytest.mark.parametrize(
    ("parsed", "text", "fields"),
    [
        (None, " fine \n", {"answer": "fine"}),
        (None, '{"a": 1}', {"answer": '{"a": 1}'}),
        ('{"a": 1, "b": " x "}', "", {"a": 1, "b": "x"}),
        ('{"a": {"z": 1, "y": [true]}}', "", {"a": '{"y":[true],"z":1}'}),
        ("{}", "", {}),
        ("[1,2]", "", {"answer": "[1,2]"}),
        ("7", "", {"answer": 7}),
        ("no JSON", "", {"answer": "no JSON"}),
    ],
)
def test_an_answer_is_split_into_its_fields(
    parsed: str | None, text: str, fields: dict[str, Any]
) -> None:
    assert fields_of(parsed, text) == fields


def test_a_long_text_is_cut() -> None:
    assert len(str(fields_of(None, "x" * MOST_CHARS * 2)["answer"])) == MOST_CHARS


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        (None, "", False),
        ("Good", "good", False),
    ],
)
def test_values_are_the_same(first: Any, second: Any, *, same: bool) -> None:
    assert is_same(first, second) is same
    assert is_same(second, first) is same


@pytest.mark.parametrize(
    ("value", "truth", "right"),
    [
        ("Good", " good\n", True),
        ("very  good", "Very good", True),
        ("good", "bad", False),
        (3, "3", True),
        (3.0, "3", True),
        ("3", 3.0, True),
        (3, "three", False),
        (True, "TRUE", True),
        (True, "yes", True),
        (True, "0", False),
        (False, "no", True),
        (False, False, True),
        (False, "", False),
        (None, "x", False),
        ("nan", "nan", True),
    ],
)
def test_a_value_is_right(value: Any, truth: Any, *, right: bool) -> None:
    assert is_right(value, truth) is right


def test_an_empty_cell_is_no_truth() -> None:
    assert [is_known(cell) for cell in (None, "", "  ", 0, False, "x")] == [
        *(False, False, False),
        *(True, True, True),
    ]


def test_values_have_labels_unless_they_are_long() -> None:
    assert [label_of(value) for value in ("a", True, None, 1.5)] == ["a", "true", "null", "1.5"]
    assert label_of("") == "(empty)"
    assert label_of("x" * 65) is None


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (1, 3.5, 2.5),
        (True, 2, None),
        ("1", 2, None),
        (None, 1, None),
        (10**400, 1, None),
        (0, 1e101, None),
    ],
)
def test_numbers_differ_by_a_number(first: Any, second: Any, difference: float | None) -> None:
    assert difference_of(first, second) == difference


def test_an_answer_is_shown_as_a_text_or_as_json() -> None:
    assert in_words({"answer": "fine"}) == "fine"
    assert in_words({"b": 1, "a": "x"}) == '{"a":"x","b":1}'
