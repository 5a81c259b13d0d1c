"""Batches with results, for pages to show."""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType

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
