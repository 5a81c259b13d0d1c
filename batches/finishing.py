"""Batches end: completed when every chunk is done, cancelled or expired when none is at work."""

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef

from batches.engine.errors import FailureKind
from batches.lifecycle import BatchStatus, ChunkState
from batches.models import Batch, Chunk, Prompt, Result

CHUNKS_AT_ONCE = 100

_MESSAGES = {
    FailureKind.CANCELLED: "the batch was cancelled before this prompt was sent",
    FailureKind.EXPIRED: "the batch expired before this prompt was sent",
}


def finish_batch(batch_id: int) -> bool:
    """End a batch if nothing is left to do; whether it has ended. Safe from any number of callers.

    A batch that was cancelled, or is over its time, has its open prompts closed first, except in
    chunks that a runner still holds: the last one to leave finishes.
    """
    this = Batch.objects.filter(pk=batch_id)
    if this.filter(status=BatchStatus.CANCELLING).exists():
        _close_open_chunks(batch_id, FailureKind.CANCELLED)
    elif this.overdue().exists():
        _close_open_chunks(batch_id, FailureKind.EXPIRED)
    unfinished = Chunk.objects.unfinished().filter(batch_id=OuterRef("pk"))
    ready = this.filter(~Exists(unfinished))
    if not ready.move(BatchStatus.CANCELLED, sources={BatchStatus.CANCELLING}):
        never_sent = Result.objects.filter(batch_id=OuterRef("pk"), kind=FailureKind.EXPIRED)
        running = {BatchStatus.IN_PROGRESS}
        ready.filter(Exists(never_sent), status=BatchStatus.IN_PROGRESS).move(
            BatchStatus.EXPIRED, sources=running
        )
        ready.move(BatchStatus.FINALIZING, sources=running)
        ready.move(BatchStatus.COMPLETED, sources={BatchStatus.FINALIZING})
    ended = {BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
    return this.filter(status__in=ended).exists()


def _close_open_chunks(batch_id: int, kind: FailureKind) -> None:
    """Give every open prompt of the chunks that nobody holds the outcome of never having run."""
    while True:
        with transaction.atomic():
            chunks = list(
                Chunk.objects.claimable()
                .filter(batch_id=batch_id)
                .order_by("lo")
                .select_for_update(skip_locked=True)
                .values_list("pk", "lease_token", "lo", "hi")[:CHUNKS_AT_ONCE]
            )
            if not chunks:
                return
            for pk, token, lo, hi in chunks:
                # The token grows as with any claim: a runner that was thought gone is fenced off.
                closed = Chunk.objects.filter(pk=pk, lease_token=token).update(
                    state=ChunkState.DONE, lease_expires_at=None, lease_token=F("lease_token") + 1
                )
                if closed:
                    _close_prompts(batch_id, lo, hi, kind)


def _close_prompts(batch_id: int, lo: int, hi: int, kind: FailureKind) -> None:
    results, prompts = Result._meta.db_table, Prompt._meta.db_table
    index = connection.ops.quote_name("index")
    with connection.cursor() as cursor:
        # In the database, since there may be a million. All names are our own.
        cursor.execute(
            f"INSERT INTO {results} (prompt_id, batch_id, {index}, status, kind, code, message, "  # noqa: S608
            f"request_id, finish_reason, input_tokens, output_tokens, calls, elapsed_s, done_at) "
            f"SELECT p.id, p.batch_id, p.{index}, 'failed', %s, %s, %s, '', '', 0, 0, 0, 0.0, "
            f"CURRENT_TIMESTAMP FROM {prompts} p LEFT JOIN {results} r ON r.prompt_id = p.id "
            f"WHERE p.batch_id = %s AND p.{index} >= %s AND p.{index} < %s "
            f"AND r.prompt_id IS NULL",
            [kind.value, kind.value, _MESSAGES[kind], batch_id, lo, hi],
        )
