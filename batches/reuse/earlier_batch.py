"""Run only what has changed since an earlier batch."""

from dataclasses import asdict, dataclass
from itertools import islice

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from batches.database import connection, transaction
from batches.errors import NotPossible
from batches.leases.pilot_sample import pilot_sample
from batches.lifecycle import TERMINAL
from batches.models import Batch, Prompt
from batches.models.bounds import IDS_IN_A_QUERY
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
    digests = _MissingDigests(batch)
    for lo in range(0, batch.total, PAGE_ROWS):
        with transaction.atomic():
            digests.add(Q(index__gte=lo, index__lt=lo + PAGE_ROWS))
            keep_answers(batch, lo, lo + PAGE_ROWS, done_at=timezone.now())


def remember_pilot(batch: Batch) -> None:
    """Keep the answers of a pilot for the batches of its owner, while its batch waits."""
    places, digests = iter(pilot_sample(batch) or ()), _MissingDigests(batch)
    while some := list(islice(places, IDS_IN_A_QUERY)):
        with transaction.atomic():
            digests.add(Q(index__in=some))
            keep_answers(batch, some[0], some[-1] + 1, done_at=timezone.now())


class _MissingDigests:
    """The digests of a batch whose prompts were stored without them."""

    def __init__(self, batch: Batch) -> None:
        self._prompts = Prompt.objects.filter(batch=batch, digest=None)
        self._digests = RequestDigests(batch) if batch.reuse == "off" else None

    def add(self, chosen: Q) -> None:
        """Store the digests of some prompts."""
        if self._digests is None:
            return
        bodies = self._prompts.filter(chosen).values_list("pk", "body")
        rows = [(self._digests.of(body), pk) for pk, body in bodies]
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
