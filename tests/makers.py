"""Short ways to make what tests need."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from batches.actions import batches as batch_actions
from batches.actions.options import BatchOptions
from batches.engine.errors import FailureKind
from batches.engine.records import Outcome, Usage
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.leases.chunks import Lease, claim_chunks
from batches.models import Batch, Prompt, Provider
from batches.runner.results import ChunkOutcomes

MODEL = "simulated-small"


def options(**changes: Any) -> BatchOptions:
    return BatchOptions(**{"defaults": {"model": MODEL}, **changes})


def prompts_of(texts: Iterable[str]) -> list[NewPrompt | LineError]:
    """Texts as an input would bring them: custom_id "line-1" and so on."""
    stream = io.BytesIO("\n".join(texts).encode())
    reading = InputOptions(
        endpoint="/v1/chat/completions",
        defaults={"model": MODEL},
        max_line_bytes=20_000_000,
        format="text",
    )
    return list(read_prompts(stream, reading))


def batch_of(provider: Provider, texts: Sequence[str] | int, **changes: Any) -> Batch:
    """A batch that is ready to run."""
    if isinstance(texts, int):
        texts = [f"prompt {number}" for number in range(texts)]
    return batch_actions.create_batch(provider, prompts_of(texts), options(**changes))


def claim_chunk(batch_id: int, **options: Any) -> Lease | None:
    """Lease the first claimable chunk of a batch, as a runner does; None if there is none."""
    leases = claim_chunks(batch_id, most=1, **options)
    return leases[0] if leases else None


def outcomes_of(lease: Lease, *, failed: Sequence[int] = ()) -> list[Outcome]:
    """An outcome for every prompt of a leased chunk."""
    return [
        Outcome(
            index=index,
            custom_id=f"line-{index + 1}",
            status="failed" if index in failed else "succeeded",
            kind=FailureKind.SERVER if index in failed else None,
            status_code=500 if index in failed else 200,
            body="{}",
            usage=Usage(input_tokens=3, output_tokens=2),
            calls=1,
            latency_s=0.25,
            busy_s=0.25,
            elapsed_s=0.25,
            done_at=100.0 + index,
        )
        for index in range(lease.lo, lease.hi)
    ]


def chunk_outcomes(
    batch: Batch, lease: Lease, *, failed: Sequence[int] = (), done: bool = True
) -> ChunkOutcomes:
    """All of a chunk, as a runner would hand it in."""
    ids = dict(Prompt.objects.filter(batch=batch).values_list("index", "pk"))
    return ChunkOutcomes(lease, outcomes_of(lease, failed=failed), ids, done)
