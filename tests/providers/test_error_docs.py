"""docs/errors.md says what the code does: its tables and the table in code are the same."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from batches.engine.errors import AnswerUnfit, FailureKind
from batches.engine.replies.error_rows import ErrorRow
from batches.engine.replies.error_table import ROWS

TEXT = (Path(settings.BASE_DIR) / "docs" / "errors.md").read_text()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def tables(heading: str) -> list[list[str]]:
    """Return the rows of the tables under a heading, without their heads."""
    section = re.split(r"^#+ ", TEXT, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(heading)]
    lines = [line for line in found.splitlines() if line.startswith("|")]
    heads = {n for n, line in enumerate(lines) if n + 1 < len(lines) and "---" in lines[n + 1]}
    return [cells(x) for n, x in enumerate(lines) if n not in heads and "---" not in x]


def row_in_docs(row: ErrorRow) -> list[str]:
    spans = [str(low) if low == high else f"{low}-{high}" for low, high in row.statuses]
    return [
        "an answer to mend" if row.means is AnswerUnfit else str(row.means.kind),
        ", ".join(spans) + (" (no JSON)" if row.unless_json else ""),
        ", ".join(f"`{code}`" for code in row.codes),
        ", ".join(row.words) + (" (in quotes too)" if row.in_quotes else ""),
        row.source,
    ]


def test_the_table_in_the_docs_is_the_one_in_code() -> None:
    expected = [row_in_docs(row) for row in ROWS]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in expected)
    assert tables("How an error is recognised") == [cells(line) for line in lines.splitlines()], (
        f"put this table into docs/errors.md:\n{lines}"
    )


def test_the_docs_explain_every_kind_and_no_other() -> None:
    explained = [row[0] for row in tables("Errors and retries")]
    kinds = {kind for cell in explained for kind in cell.split(", ")}
    assert kinds == {str(kind) for kind in FailureKind}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.source)
def test_every_row_names_its_source_and_a_kind_that_is_explained(row: ErrorRow) -> None:
    assert row.source
    assert str(row.means.kind) in TEXT
