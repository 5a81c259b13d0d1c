"""Run only what has changed since an earlier batch."""

from dataclasses import asdict, dataclass

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from batches.errors import NotPossible
from batches.lifecycle import TERMINAL
from batches.models import Batch, Prompt
from batches.reuse.digests import RequestDigests
from batches.reuse.kept_answers import keep_answers

PAGE_ROWS = 1000
# The custom_ids of prompts that were given none are their places in the input.
PLACES = ("row-1", "line-1")
MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The prompts of a batch compared with an earlier batch, by custom_id: how many are the same,
    have changed or are new, and how many of the earlier ones are gone. `gone_ids` are the first
    custom_ids that are gone."""

    batch_id: str
    same: int
    changed: int
    new: int
    gone: int
    gone_ids: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"Since {self.batch_id}: same {self.same:,}, changed {self.changed:,}, "
            f"new {self.new:,}, gone {self.gone:,}"
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def remember(batch: Batch) -> None:
    """Keep the answers of an ended batch for the batches of its owner, whatever their age.

    Raise NotPossible if it has not ended.
    """
    if batch.status not in TERMINAL:
        raise NotPossible(
            f"{batch.public_id} has not ended, so its answers cannot be used: its status is "
            f"'{batch.status}'"
        )
    digests = RequestDigests(batch)
    for lo in range(0, batch.total, PAGE_ROWS):
        with transaction.atomic():
            if batch.reuse == "off":
                _add_digests(batch, digests, lo)
            keep_answers(batch, lo, lo + PAGE_ROWS, done_at=timezone.now())


def _add_digests(batch: Batch, digests: RequestDigests, lo: int) -> None:
    without = Prompt.objects.filter(batch=batch, index__gte=lo, index__lt=lo + PAGE_ROWS)
    bodies = without.filter(digest=None).values_list("pk", "body")
    rows = [(digests.of(body), pk) for pk, body in bodies]
    if rows:
        with connection.cursor() as cursor:
            table = Prompt._meta.db_table
            cursor.executemany(f"UPDATE {table} SET digest = %s WHERE id = %s", rows)  # noqa: S608 - the name is our own


def changes_since(batch: Batch, earlier: Batch) -> Difference | None:
    """Compare a batch with an earlier one; None if their prompts have no custom_ids to compare."""
    mine = Prompt.objects.filter(batch=batch)
    theirs = Prompt.objects.filter(batch=earlier)
    if any(some.filter(index=0, custom_id__in=PLACES).exists() for some in (mine, theirs)):
        return None
    named = Prompt.objects.filter(custom_id=OuterRef("custom_id"))
    there = named.filter(batch=earlier)
    is_same = Exists(there.filter(digest=OuterRef("digest")))
    same = mine.filter(is_same).count()
    new = mine.filter(~Exists(there)).count()
    gone = theirs.filter(~Exists(named.filter(batch=batch))).order_by("index")
    return Difference(
        batch_id=earlier.public_id,
        same=same,
        changed=batch.total - same - new,
        new=new,
        gone=gone.count(),
        gone_ids=tuple(gone.values_list("custom_id", flat=True)[:MOST_LISTED]),
    )
