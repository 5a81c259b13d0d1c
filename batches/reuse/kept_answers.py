"""Keep the answers of a batch for later batches of its owner, for a time and up to a number."""

from datetime import datetime
from functools import cache

from django.db.models import Count

from batches.conf import conf
from batches.database import connection
from batches.models import Batch, KeptAnswer, Prompt, Result
from batches.reuse.equal_requests import oldest_answer


def keep_answers(batch: Batch, lo: int, hi: int, *, done_at: datetime | None = None) -> None:
    """Keep the answers to the prompts from `lo` up to before `hi`, instead of older ones.

    Their age counts from their calls, or from `done_at` if that is given.
    """
    owner = Batch._meta.get_field("owner").get_db_prep_value(batch.owner_id, connection)
    time = None if done_at is None else connection.ops.adapt_datetimefield_value(done_at)
    with connection.cursor() as cursor:
        cursor.execute(_keep_statement(), [owner, time, batch.pk, lo, hi])


@cache
def _keep_statement() -> str:
    index = connection.ops.quote_name("index")
    return (
        # In the order of digests, so that batches of one owner cannot deadlock. For `IS NOT NULL`,
        # SQLite would read the index of digests, all of the batch for each chunk.
        f"INSERT INTO {KeptAnswer._meta.db_table} (digest, owner_id, prompt_id, done_at) "  # noqa: S608 - the names are our own
        f"SELECT p.digest, %s, MAX(p.id), COALESCE(%s, MAX(r.done_at)) "
        f"FROM {Prompt._meta.db_table} p JOIN {Result._meta.db_table} r ON r.prompt_id = p.id "
        f"WHERE p.batch_id = %s AND p.{index} >= %s AND p.{index} < %s AND LENGTH(p.digest) > 0 "
        f"AND r.status = '{Result.SUCCEEDED}' AND r.source IS NULL "
        f"GROUP BY p.digest ORDER BY p.digest "
        f"ON CONFLICT (digest) DO UPDATE SET prompt_id = excluded.prompt_id, "
        f"done_at = excluded.done_at"
    )


def forget_answers() -> int:
    """Forget answers that are too old, and the oldest ones of an owner with too many; return their
    number. The results of the batches stay."""
    forgotten, _ = KeptAnswer.objects.filter(done_at__lte=oldest_answer()).delete()
    counted = KeptAnswer.objects.values("owner").annotate(n=Count("pk"))
    for owner in counted.filter(n__gt=conf().REUSE_ANSWERS).values_list("owner", flat=True):
        mine = KeptAnswer.objects.filter(owner=owner).order_by("-done_at")
        last = mine.values_list("done_at", flat=True)[conf().REUSE_ANSWERS]
        forgotten += mine.filter(done_at__lte=last).order_by().delete()[0]
    return forgotten
