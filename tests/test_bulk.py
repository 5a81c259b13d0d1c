import pytest
from django.db import IntegrityError, transaction

from batches.bulk import insert_rows
from batches.models import Batch, Prompt, Provider
from tests.makers import batch_of

COLUMNS = ("batch_id", "index", "custom_id", "body")


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, 1)


def insert(batch: Batch, rows: list[tuple[int, str, str]]) -> None:
    table = Prompt._meta.db_table
    insert_rows(table, COLUMNS, ((batch.pk, *row) for row in rows))


def test_more_rows_than_a_statement_can_hold_are_all_inserted(batch: Batch) -> None:
    insert(batch, [(n, f"id-{n}", "{}") for n in range(1, 20_001)])
    assert Prompt.objects.filter(batch=batch).count() == 20_001


@pytest.mark.parametrize(
    "text", ["tab\tand\\backslash", "line\nend\r", "\\N", "''\";--", "%s %% ?", "😀\u2028", ""]
)
def test_any_text_is_stored_as_it_is(batch: Batch, text: str) -> None:
    insert(batch, [(1, "a", text)])
    assert Prompt.objects.get(batch=batch, index=1).body == text


def test_no_rows_are_no_fault(batch: Batch) -> None:
    insert(batch, [])


def test_a_row_that_breaks_a_constraint_is_the_error_that_the_orm_raises(batch: Batch) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(batch, [(1, "same", "{}"), (2, "same", "{}")])
    assert Prompt.objects.filter(batch=batch).count() == 1
