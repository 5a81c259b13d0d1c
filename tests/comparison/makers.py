"""Batches whose answers are known, and rows of a comparison."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now

from batches.comparison.answer_values import fields_of
from batches.comparison.row_answers import PairedRow, RowAnswer
from batches.lifecycle import BatchStatus
from batches.models import Batch, Prompt, Provider, Result

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
}
SHAPE = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
ENDPOINT = "/v1/chat/completions"
# A row without a result, and the kinds of failure of others.
OPEN = None


def answered_batch(
    provider: Provider,
    answers: Mapping[str, Any],
    *,
    owner: User | None = None,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    texts: bool = False,
    **columns: Any,
) -> Batch:
    """A completed batch with an answer for each custom_id: an object, or a text if `texts`.

    None is a prompt without a result, and an exception a failure of its kind. `rows` are the rows
    of a table that the prompts were made of.
    """
    has_schema = not texts
    defaults = {"model": "simulated-small", **({"response_format": SHAPE} if has_schema else {})}
    batch = Batch.objects.create(
        provider=provider,
        owner=owner,
        endpoint=ENDPOINT,
        defaults=defaults,
        model="simulated-small",
        status=BatchStatus.COMPLETED,
        total=len(answers),
        active_until=time.time(),
        columns=[[name, name] for name in next(iter(rows.values()))] if rows else None,
        **columns,
    )
    prompts = Prompt.objects.bulk_create(
        Prompt(
            batch=batch,
            index=index,
            custom_id=custom_id,
            body=json.dumps({"messages": [{"role": "user", "content": custom_id}]}),
            row=json.dumps(rows[custom_id]) if rows else None,
        )
        for index, custom_id in enumerate(answers)
    )
    ids = dict(Prompt.objects.filter(batch=batch).values_list("index", "pk"))
    results = [
        _result(
            batch, ids[prompt.index], prompt.index, answers[prompt.custom_id], has_schema=has_schema
        )
        for prompt in prompts
        if answers[prompt.custom_id] is not OPEN
    ]
    Result.objects.bulk_create(results)
    succeeded = sum(result.status == Result.SUCCEEDED for result in results)
    Batch.objects.filter(pk=batch.pk).update(succeeded=succeeded, failed=len(results) - succeeded)
    return Batch.objects.select_related("provider").get(pk=batch.pk)


def _result(batch: Batch, pk: int, index: int, answer: Any, *, has_schema: bool) -> Result:
    failed = isinstance(answer, Exception)
    text = answer if isinstance(answer, str) else json.dumps(answer) if not failed else ""
    return Result(
        prompt_id=pk,
        batch=batch,
        index=index,
        status=Result.FAILED if failed else Result.SUCCEEDED,
        kind=str(answer) if failed else "",
        body=None if failed else json.dumps({"choices": [{"message": {"content": text}}]}),
        parsed=text if has_schema and not failed else None,
        input_tokens=10,
        output_tokens=5,
        calls=1,
        latency_s=0.1 * (index + 1),
        elapsed_s=1.0,
        done_at=Now(),
    )


def paired_row(
    answers: Sequence[Mapping[str, Any] | str], cells: Mapping[str, Any] | None = None
) -> PairedRow:
    """A row with these answers; a text is a kind of failure."""
    return PairedRow(0, "x", tuple(map(row_answer, answers)), cells or {})


def row_answer(answer: Mapping[str, Any] | str) -> RowAnswer:
    failed = isinstance(answer, str)
    return RowAnswer(
        index=0,
        kind=str(answer) if failed else "",
        fits=not failed,
        fields={} if failed else fields_of(json.dumps(answer), ""),
        input_tokens=1,
        output_tokens=1,
        latency_s=0.1,
    )
