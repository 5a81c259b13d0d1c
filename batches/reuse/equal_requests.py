"""Give prompts the answers to equal requests, and tell which prompts are to be sent.

Of equal requests in a batch the first is sent, and the others wait for its answer. If it fails,
each of the others is sent.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from batches.conf import conf
from batches.database import connection, transaction
from batches.leases.chunks import begin_again
from batches.lifecycle import ChunkState
from batches.models import Batch, Chunk, KeptAnswer, Prompt, Result
from batches.models.bounds import IDS_IN_A_QUERY, added
from batches.models.statements import Statement, hole, query_of
from batches.signals import prompt_finished, send_after_commit
from batches.writeback.host_work import or_unwritten
from batches.writeback.writers import writer_of

# What a result takes over from the answer to an equal request, which cost nothing this time.
_TAKEN = ("status", "kind", "code", "message", "status_code", "body", "parsed", "rung")
CHUNKS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class EqualPrompt:
    """A prompt without a result; the first prompt of its batch with an equal request, and the
    status of that one; and the prompt whose answer it may take, if there is one."""

    prompt_id: int
    index: int
    first_id: int | None
    first_status: str | None
    source: int | None

    @property
    def is_first(self) -> bool:
        """Return True if no earlier prompt of the batch has an equal request."""
        return self.first_id in {None, self.prompt_id}

    @property
    def is_sent(self) -> bool:
        """Return True if the prompt does not wait for the answer to an equal request."""
        return self.is_first or self.first_status == Result.FAILED


def with_equals(prompts: "QuerySet[Prompt]", reuse: str) -> "QuerySet[Any, Any]":
    """Add the columns `first`, `first_status` and `source` of EqualPrompt to a query.

    The hole `since` is for the time of the oldest answer of another batch that may be used.
    """
    equal = Prompt.objects.filter(batch_id=OuterRef("batch_id"), digest=OuterRef("digest"))
    first = Result.objects.filter(pk=OuterRef("first"))
    source: Any = Subquery(first.filter(status=Result.SUCCEEDED).values("pk")[:1])
    if reuse == "owner":
        kept = KeptAnswer.objects.filter(digest=OuterRef("digest"), done_at__gt=hole("since"))
        kept_in = Subquery(kept.values("prompt_id")[:1])
        source = Coalesce(source, kept_in, output_field=BigIntegerField())
    return prompts.annotate(
        first=Subquery(equal.order_by("index").values("pk")[:1]),
        first_status=Subquery(first.values("status")[:1]),
        source=source,
    )


def oldest_answer() -> datetime:
    """Return the time of the oldest answer of another batch that may be used."""
    return timezone.now() - timedelta(days=conf().REUSE_DAYS)


def since() -> Any:
    """Return the value of the hole `since`."""
    return _stored_time(oldest_answer())


def _stored_time(time: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(time)


def give_answers(batch_id: int, prompts: Iterable[EqualPrompt]) -> frozenset[int]:
    """Store the answers to equal requests as results of these prompts, as far as there are some;
    return the IDs of the prompts that got one.

    Call it in a transaction that holds the chunks of the prompts: nothing else may store a result
    for them. An answer that is gone is not given.
    """
    sourced = {prompt.prompt_id: prompt for prompt in prompts if prompt.source is not None}
    tokens = _tokens_of({prompt.source for prompt in sourced.values()})
    given = [prompt for prompt in sourced.values() if prompt.source in tokens]
    if not given:
        return frozenset()
    now = _stored_time(timezone.now())
    with connection.cursor() as cursor:
        cursor.executemany(
            _insert_statement(),
            [(p.prompt_id, batch_id, p.index, now, p.source) for p in given],
        )
    times = Counter(prompt.source for prompt in given)
    Batch.objects.filter(pk=batch_id).update(
        succeeded=F("succeeded") + len(given),
        reused=F("reused") + len(given),
        saved_input_tokens=added(
            "saved_input_tokens", sum(n * tokens[source][0] for source, n in times.items())
        ),
        saved_output_tokens=added(
            "saved_output_tokens", sum(n * tokens[source][1] for source, n in times.items())
        ),
    )
    ids = [prompt.prompt_id for prompt in given]
    send_after_commit(prompt_finished, Batch, batch_id=batch_id, prompt_ids=ids)
    return frozenset(ids)


def _tokens_of(sources: Iterable[int | None]) -> dict[int | None, tuple[int, int]]:
    """Return the tokens of the answers of these prompts that exist."""
    ids = list(sources)
    found: dict[int | None, tuple[int, int]] = {}
    for start in range(0, len(ids), IDS_IN_A_QUERY):
        some = Result.objects.filter(
            pk__in=ids[start : start + IDS_IN_A_QUERY], status=Result.SUCCEEDED
        )
        for pk, read, written in some.values_list("pk", "input_tokens", "output_tokens"):
            found[pk] = read, written
    return found


@cache
def _insert_statement() -> str:
    results, index = Result._meta.db_table, connection.ops.quote_name("index")
    names = ", ".join(_TAKEN)
    return (
        # Inside the database, since answers may be long. All names are constants.
        f"INSERT INTO {results} (prompt_id, batch_id, {index}, done_at, request_id, finish_reason, "  # noqa: S608 - the names are our own
        f"input_tokens, output_tokens, calls, elapsed_s, source, {names}) "
        f"SELECT %s, %s, %s, %s, '', finish_reason, 0, 0, 0, 0.0, COALESCE(source, prompt_id), "
        f"{names} FROM {results} WHERE prompt_id = %s"
    )


def answer_equals(batch: Batch, lo: int, hi: int, *, unwritten: str = "") -> list[EqualPrompt]:
    """Give the prompts without a result from `lo` up to before `hi` the answers that there are;
    return the prompts that got none. Call it as `give_answers`, within `or_unwritten`."""
    rows = _equals(batch.reuse).rows(batch=batch.pk, lo=lo, hi=hi, since=since())
    prompts = [EqualPrompt(*row) for row in rows]
    given = give_answers(batch.pk, prompts)
    if given and (writer := writer_of(batch)):
        writer.write(list(given), unwritten=unwritten)
    return [prompt for prompt in prompts if prompt.prompt_id not in given]


@cache
def _equals(reuse: str) -> Statement:
    open_ = Prompt.objects.filter(batch_id=hole("batch"), result=None)
    these = open_.filter(index__gte=hole("lo"), index__lt=hole("hi"))
    return Statement(
        lambda: query_of(
            with_equals(these, reuse)
            .order_by("index")
            .values_list("pk", "index", "first", "first_status", "source")
        )
    )


def lacks_first(batch_id: int, lo: int, hi: int) -> bool:
    """Return True if a prompt from `lo` up to before `hi` has no result and waits for no other."""
    rows = _equals("batch").rows(batch=batch_id, lo=lo, hi=hi)
    return any(EqualPrompt(*row).is_first for row in rows)


def settle_equals(batch: Batch) -> bool:
    """Give the prompts that waited for equal ones their answers, when all chunks are done.

    Where an equal one failed, make the chunk claimable again; return True if there is such a chunk.
    """
    reopened, after = False, -1
    while True:
        chunks, left = or_unwritten(partial(_settle_some, batch, after))
        if not chunks:
            return reopened
        reopened, after = reopened or left, chunks[-1].lo


def _settle_some(batch: Batch, after: int, unwritten: str) -> tuple[Sequence[Chunk], bool]:
    """Settle the next chunks; return them, and True if one of them is claimable again."""
    with transaction.atomic():
        # The lock keeps a chunk from being claimed meanwhile by a runner.
        chunks = _unanswered(batch.pk, after)
        settle = partial(answer_equals, batch, unwritten=unwritten)
        left = [chunk.pk for chunk in chunks if settle(chunk.lo, chunk.hi)]
        if left:
            begin_again(Chunk.objects.filter(pk__in=left))
    return chunks, bool(left)


def _unanswered(batch_id: int, after: int) -> Sequence[Chunk]:
    """Lock the next done chunks with a prompt that has no result."""
    open_ = Prompt.objects.filter(
        batch_id=OuterRef("batch_id"),
        index__gte=OuterRef("lo"),
        index__lt=OuterRef("hi"),
        result=None,
    )
    done = Chunk.objects.filter(batch=batch_id, state=ChunkState.DONE, lo__gt=after)
    return list(done.filter(Exists(open_)).order_by("lo").select_for_update()[:CHUNKS_AT_ONCE])
