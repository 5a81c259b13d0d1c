"""Rows are counted in bounded memory."""

from batches.comparison.row_answers import Missing, PairedRow
from batches.comparison.tallies import (
    MOST_FIELDS,
    MOST_VALUES,
    SAMPLE,
    ComparisonTally,
    NumberTally,
    tally_of,
)
from tests.comparison.makers import paired_row, row_answer


def counted(*rows: PairedRow, batches: int = 2, **truths: str) -> ComparisonTally:
    tally = tally_of(batches, truths)
    for row in rows:
        tally.add(row)
    return tally


def test_agreement_is_counted_where_both_have_the_field() -> None:
    tally = counted(
        paired_row([{"a": 1, "b": "x"}, {"a": 1, "b": "y"}]),
        paired_row([{"a": 1}, {"a": 2, "b": "y"}]),
        paired_row([{"a": 1}, "server"]),
    )
    [a], [b] = tally.pairs["a"], tally.pairs["b"]
    assert (a.rows, a.same) == (2, 1)
    assert (b.rows, b.same) == (1, 0)
    assert b.values == {("x", "y"): 1}
    assert tally.succeeded == {(True, True): 2, (True, False): 1}
    assert [batch.agreed for batch in tally.batches] == [3, 0]


def test_rows_that_a_batch_lacks_are_counted_and_not_compared() -> None:
    answer = row_answer({"a": 1})
    tally = counted(
        PairedRow(0, "x", (answer, Missing.ABSENT), {}),
        PairedRow(1, "y", (Missing.OPEN, answer), {}),
        PairedRow(2, "z", (answer, answer), {}),
    )
    assert tally.rows == 1
    first, second = tally.batches
    assert (first.missing, second.missing) == ({Missing.OPEN: 1}, {Missing.ABSENT: 1})


def test_failed_answers_and_missing_fields_are_wrong() -> None:
    tally = counted(
        paired_row([{"a": "x"}, {"a": "y"}], {"t": "X"}),
        paired_row([{"a": "x"}, "server"], {"t": "x"}),
        paired_row([{"b": "x"}, {"a": "x"}], {"t": "x"}),
        paired_row([{"a": "x"}, {"a": "x"}], {"t": " "}),
        paired_row([{"a": "x"}, {"a": "x"}], {}),
        a="t",
    )
    truth = tally.truths["a"]
    assert truth.patterns == {(True, False): 2, (False, True): 1}
    assert truth.unknown == 2


def test_many_values_have_no_table() -> None:
    rows = [paired_row([{"a": n, "b": n % 5}, {"a": n + 1, "b": 0}]) for n in range(MOST_VALUES)]
    tally = counted(*rows)
    assert tally.pairs["a"][0].values is None
    values = tally.pairs["b"][0].values
    assert values is not None
    assert values.total() == MOST_VALUES
    long = counted(paired_row([{"a": "x" * 100}, {"a": "y"}]))
    assert long.pairs["a"][0].values is None


def test_fields_are_bounded() -> None:
    wide = {f"f{n}": n for n in range(MOST_FIELDS + 1)}
    tally = counted(paired_row([wide, wide]), paired_row([{"f0": 1}, {"f0": 1}]))
    assert len(tally.pairs) == MOST_FIELDS
    assert tally.is_cut
    assert tally.pairs["f0"][0].rows == 2


def test_differences_of_numbers() -> None:
    tally = NumberTally()
    for difference in (1.0, -3.0, 8.0):
        tally.add(difference)
    assert tally.mean == 2.0
    assert tally.squares == 1.0 + 25.0 + 36.0
    assert tally.median_distance() == 3.0
    assert NumberTally().median_distance() is None


def test_the_median_of_many_is_of_a_sample() -> None:
    tally = NumberTally()
    for n in range(3 * SAMPLE):
        tally.add(float(n))
    median = tally.median_distance()
    assert median is not None
    # Four standard deviations of the median of a sample.
    assert abs(median / (3 * SAMPLE) - 0.5) < 0.02
    assert len(tally._sample) == SAMPLE
