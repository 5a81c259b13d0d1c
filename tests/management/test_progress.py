"""The progress of a run as text: which parts there are, and how they fill lines."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.management.bulk.progress import (
    SEPARATOR,
    RecentRate,
    RunView,
    flow,
    parts_of,
    plain_line,
)

FULL = RunView(
    total=100_000,
    done=12_345,
    failures={"timeout": 2, "server": 10, "request": 1, "length": 1},
    in_flight=100,
    tokens=1_234_567,
    cost=Decimal("0.0204"),
    per_s=52.3,
    elapsed_s=237.2,
    notes=["held to 4.3/s, learned from 429s"],
)


def test_everything_that_is_known_is_a_part() -> None:
    assert parts_of(FULL) == [
        "12,345 of 100,000",
        "52/s",
        "100 in flight",
        "14 failed (server 10, timeout 2, length 1, …)",
        "1.2 M tokens",
        "$0.0204",
        "elapsed 3 min 57 s",
        "left 27 min 56 s",
        "held to 4.3/s, learned from 429s",
    ]


def test_what_is_unknown_is_no_part() -> None:
    assert parts_of(RunView(total=5)) == ["0 of 5", "0 in flight", "elapsed 0 s"]


def test_a_note_that_is_the_reason_for_waiting_is_said_once() -> None:
    view = RunView(total=5, notes=["held to 1/s"], waiting="m: held to 1/s, next try in 3 s")
    assert parts_of(view)[-1] == "elapsed 0 s"
    assert plain_line(view).endswith("elapsed 0 s, m: held to 1/s, next try in 3 s")


@pytest.mark.parametrize(("width", "lines"), [(80, 3), (200, 2)])
def test_the_parts_fill_the_lines(width: int, lines: int) -> None:
    flowed = flow(parts_of(FULL), width, first=width - 13)
    assert len(flowed) == lines
    assert len(flowed[0]) <= width - 13
    assert all(len(line) <= width for line in flowed)


@given(parts=st.lists(st.text("ab", min_size=1), min_size=1), width=st.integers(1, 60))
def test_no_part_is_lost_or_cut(parts: list[str], width: int) -> None:
    lines = flow(parts, width, first=width)
    assert [part for line in lines for part in line.split(SEPARATOR)] == parts
    assert all(len(line) <= width or line in parts for line in lines)


def test_the_rate_is_of_the_last_half_minute() -> None:
    rate = RecentRate()
    assert rate.see(1000, now=0.0) is None
    assert rate.see(1001, now=0.5) is None
    assert rate.see(1100, now=10.0) == 10.0
    for second in range(11, 60):
        last = rate.see(1100, now=float(second))
    assert last == 0.0
