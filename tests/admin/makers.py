"""Batches with results, for pages to show."""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType

from django.db import connection
from django.db.models.functions import Now

from batches.lifecycle import BatchStatus
from batches.models import Batch, Prompt, Provider, Result
from tests.makers import batch_of


def answer(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def ended_batch(
    provider: Provider,
    texts: list[str],
    *,
    answers: Mapping[int, str] = MappingProxyType({}),
    failed: Mapping[int, str] = MappingProxyType({}),
) -> Batch:
    """A completed batch; of the prompts in `failed` with these messages."""
    batch = batch_of(provider, texts)
    for prompt in Prompt.objects.filter(batch=batch):
        message = failed.get(prompt.index)
        Result.objects.create(
            prompt=prompt,
            batch=batch,
            index=prompt.index,
            status="failed" if message else "succeeded",
            kind="server" if message else "",
            message=message or "",
            body=None if message else answer(answers.get(prompt.index, "fine")),
            input_tokens=3,
            output_tokens=2,
            calls=1,
            latency_s=0.25,
            elapsed_s=0.25,
            done_at=Now(),
        )
    batch.chunks.update(state="done")
    Batch.objects.filter(pk=batch.pk).update(
        status=BatchStatus.COMPLETED,
        succeeded=len(texts) - len(failed),
        failed=len(failed),
        active_s=2.0,
        busy_s=8.0,
        first_result_s=0.25,
        active_until=time.time(),
    )
    batch.refresh_from_db()
    return batch


def fill(batch: Batch, rows: int) -> None:
    """Give a batch results like its first, up to this number, as fast as a database can."""
    first = Result.objects.get(batch=batch).prompt_id
    columns = [str(field.column) for field in Result._meta.concrete_fields]
    names = ", ".join(name for name in columns if name not in {"prompt_id", "index"})
    with connection.cursor() as cursor:
        cursor.execute(_PROMPTS, [rows, first, batch.pk, first])
        cursor.execute(_RESULTS.replace("COLUMNS", names), [rows, first, first])
    Batch.objects.filter(pk=batch.pk).update(total=rows, succeeded=rows)


_PROMPTS = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)
    INSERT INTO batches_prompt (id, batch_id, "index", custom_id, body)
    SELECT %s + i, %s, i, 'row-' || i, body FROM n, batches_prompt WHERE id = %s"""
_RESULTS = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)
    INSERT INTO batches_result (prompt_id, "index", COLUMNS)
    SELECT %s + i, i, COLUMNS FROM n, batches_result WHERE prompt_id = %s"""
