"""A deleted batch goes in steps, each of which touches few rows and is found by an index."""

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from batches.ending.finishing import _close_prompts
from batches.ending.purging import ROWS_AT_ONCE, purge
from batches.engine.errors import FailureKind
from batches.models import Batch, Chunk, Prompt, Provider, Result
from tests.makers import batch_of

COUNT = ROWS_AT_ONCE + 1


class Deletions:
    """Keeps every DELETE that takes rows, and their number."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.statements: list[tuple[str, Any]] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        result = execute(sql, params, many, context)
        rows = context["cursor"].rowcount
        if sql.startswith("DELETE") and rows:
            self.rows.append(rows)
            self.statements.append((sql, params))
        return result

    def plans(self, table: str) -> list[str]:
        """What SQLite does for those that took rows of a table."""
        plans: list[str] = []
        with connection.cursor() as cursor:
            for sql, params in self.statements:
                if sql.startswith(f'DELETE FROM "{table}"'):  # noqa: S608 - no query is made of it
                    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
                    plans.append("\n".join(row[-1] for row in cursor.fetchall()))
        assert plans
        return plans


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """A deleted batch with a result and a chunk for each of its prompts."""
    batch = batch_of(provider, COUNT, batch_size=1)
    _close_prompts(batch.pk, 0, COUNT, FailureKind.CANCELLED)
    assert Result.objects.count() == Chunk.objects.count() == COUNT
    Batch.objects.update(deleted_at=timezone.now(), status="cancelled")
    return batch


def test_every_step_is_bounded_and_uses_an_index(batch: Batch) -> None:
    deletions = Deletions()
    with connection.execute_wrapper(deletions):
        purge(batch.pk)
    for model in (Batch, Chunk, Prompt, Result):
        assert not model._default_manager.exists()
    assert sum(deletions.rows) > 3 * COUNT
    assert max(deletions.rows) == ROWS_AT_ONCE
    if connection.vendor == "sqlite":
        check_plans(deletions)


def check_plans(deletions: Deletions) -> None:
    for table in ("batches_prompt", "batches_chunk"):
        for plan in deletions.plans(table):
            assert f"SEARCH {table} USING" in plan
            assert "batch_id=? AND" in plan
    for plan in deletions.plans("batches_result"):
        assert "(prompt_id=?)" in plan.splitlines()[0]
