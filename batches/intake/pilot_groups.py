"""The rows of a pilot that represent every value of a column of the table."""

from array import array
from collections.abc import Sequence
from heapq import heapify, heapreplace

from pydantic_core import from_json

from batches.engine.text.wording import quoted
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.tables import NO_COLUMN, missing_columns_text
from batches.intake.tally import InputRefused
from batches.leases.pilot_sample import Group

PARAM = "pilot.by"
NO_TABLE = "There are no columns to spread a pilot over: give a table and a template."


class PilotGroups:
    """The indexes of the prompts by the values in a column, each value with at most `rows`."""

    def __init__(self, column: str, rows: int) -> None:
        self._key = column
        self._rows = rows
        self._indexes: dict[str, array[int]] = {}

    def count(self, index: int, prompt: NewPrompt) -> None:
        """Count one more prompt. Raise InputRefused if there is no such column, or more values in
        it than the pilot has rows."""
        if prompt.row is None:
            raise _refused(NO_TABLE)
        if prompt.columns:
            named = (key for name, key, *_ in prompt.columns if name.strip() == self._key)
            self._key = next(named, self._key)
        row = from_json(prompt.row)
        if self._key not in row:
            message = missing_columns_text([self._key], list(row), "The row has")
            raise InputRefused([prompt.fault(NO_COLUMN, message, PARAM)])
        self._indexes.setdefault(str(row[self._key]), array("I")).append(index)
        if len(self._indexes) > self._rows:
            raise _refused(
                f"The column {quoted(self._key)} has more than {self._rows} different values, and "
                "the pilot no row for each: give it more rows, or another column."
            )

    def chosen(self) -> list[Group]:
        """Return the rows of the pilot."""
        return chosen_groups(list(self._indexes.values()), self._rows)


def chosen_groups(members: Sequence[Sequence[int]], rows: int) -> list[Group]:
    """Choose rows of each group: at least one, else by its size, evenly spread over its members."""
    numbers = _shares(list(map(len, members)), rows)
    return [_spread(some, number) for some, number in zip(members, numbers, strict=True)]


def _spread(indexes: Sequence[int], number: int) -> Group:
    """Return a group with the middles of this number of parts of equal length."""
    total = len(indexes)
    places = ((2 * part + 1) * total // (2 * number) for part in range(number))
    return Group(total, [indexes[place] for place in places])


def _shares(totals: Sequence[int], rows: int) -> list[int]:
    """Divide rows among groups by their sizes, with at least one and at most all of each."""
    shares = [1] * len(totals)
    # By the divisors of Sainte-Laguë; a group that is used up comes last.
    waiting = [(-total / 3 if total > 1 else 0.0, number) for number, total in enumerate(totals)]
    heapify(waiting)
    for _ in range(min(rows, sum(totals)) - len(totals)):
        number = waiting[0][1]
        shares[number] += 1
        left = totals[number] - shares[number]
        heapreplace(waiting, (-totals[number] / (2 * shares[number] + 1) if left else 0.0, number))
    return shares


def _refused(message: str) -> InputRefused:
    return InputRefused([LineError(0, "invalid_value", message, param=PARAM)])
