"""The rows of a pilot by the values in a column: each value, in about its proportion."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.prompts import NewPrompt
from batches.intake.pilot_groups import PilotGroups, chosen_groups
from batches.intake.tally import InputRefused


def prompt(row: dict[str, Any] | None, line: int = 1, columns: Any = ()) -> NewPrompt:
    text = None if row is None else json.dumps(row)
    return NewPrompt(line, str(line), "{}", row=text, columns=columns)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.integers(0, 200))
def test_each_value_has_rows_by_its_share(sizes: list[int], more: int) -> None:
    rows, total = len(sizes) + more, sum(sizes)
    kinds = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    members = [
        [place for place, kind in enumerate(kinds) if kind == one] for one in range(len(sizes))
    ]
    chosen = chosen_groups(members, rows)
    assert [group.total for group in chosen] == sizes
    assert sum(len(group.indexes) for group in chosen) == min(rows, total)
    for group, places in zip(chosen, members, strict=True):
        assert len(set(group.indexes)) == len(group.indexes) >= 1
        assert set(group.indexes) <= set(places)
    if rows < total:
        for group in chosen:
            # Up to rounding; small ones have at least one row.
            assert len(group.indexes) <= 2 * rows * group.total / total + 1


def test_a_value_may_be_anything_that_a_cell_holds() -> None:
    groups = PilotGroups("kind", 10)
    for index, value in enumerate([1, "1", None, True, 2.5, "", "ä" * 1000]):
        groups.count(index, prompt({"kind": value}, index + 1))
    assert [list(group.indexes) for group in groups.chosen()] == [[0, 1], [2], [3], [4], [5], [6]]


def test_a_column_is_found_by_its_name_in_the_header() -> None:
    groups = PilotGroups("kind", 2)
    columns = ((" kind ", "column 1"), ("kind2", "kind2"))
    groups.count(0, prompt({"column 1": "a", "kind2": "x"}, columns=columns))
    groups.count(1, prompt({"column 1": "b", "kind2": "x"}))
    assert len(groups.chosen()) == 2


def refusal(column: str, rows: int, prompts: list[NewPrompt]) -> str:
    groups = PilotGroups(column, rows)

    def count() -> None:
        for index, one in enumerate(prompts):
            groups.count(index, one)

    with pytest.raises(InputRefused) as refused:
        count()
    [error] = refused.value.errors
    assert error.param == "pilot.by"
    return str(error)


def test_what_is_wrong_is_said_with_its_place_and_remedy() -> None:
    assert "give a table and a template" in refusal("kind", 2, [prompt(None)])
    rows = [prompt({"kind": "a"}, 1), prompt({"sort": "a"}, 2)]
    missing = refusal("kind", 2, rows)
    assert missing.startswith("line 2: ")
    assert "no column 'kind'" in missing
    assert "'sort'" in missing
    many = [prompt({"kind": number}, number + 1) for number in range(5)]
    assert "The column 'kind' has more than 4 different values" in refusal("kind", 4, many)
