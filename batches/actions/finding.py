"""Find a batch by its ID, by the beginning of its ID, or by its name."""

from batches.errors import NotPossible
from batches.models import Batch, BatchQuerySet

PREFIX = "batch_"
SHOWN_CANDIDATES = 5


def find_batch(text: str) -> Batch:
    """Return the batch whose ID begins with this text, `batch_` optional, or that has this name.

    An ID goes before a name. Raise NotPossible; a text that fits several batches is refused with
    their IDs, newest first.
    """
    start = text if text.startswith(PREFIX) else PREFIX + text
    there = Batch.objects.filter(deleted_at=None)
    if start == PREFIX:
        # An unset variable of a script must not select the only batch there is.
        raise NotPossible(f"give the ID of a batch{_newest(there)}")
    found = _newest_of(there.filter(public_id__startswith=start))
    found = found or _newest_of(there.filter(name=text))
    if not found:
        raise NotPossible(f"there is no batch {text!r}{_newest(there)}")
    if len(found) > 1:
        names = [batch.public_id for batch in found[:SHOWN_CANDIDATES]]
        more = " and more" if len(found) > SHOWN_CANDIDATES else ""
        remedy = "add a letter" if found[0].public_id.startswith(start) else "give an ID"
        raise NotPossible(f"{text!r} fits several batches: {', '.join(names)}{more}; {remedy}")
    return found[0]


def find_stored_batch(text: str) -> Batch:
    """Return the batch that `find_batch` finds, if its prompts are stored. Raise NotPossible."""
    batch = find_batch(text)
    # The total is set only when all prompts are stored.
    if not batch.total:
        raise NotPossible(
            f"{batch.public_id} has nothing to run: its status is '{batch.status}', and its input "
            "was not read to its end"
        )
    return batch


def _newest_of(batches: BatchQuerySet) -> list[Batch]:
    return list(batches.select_related("provider").order_by("-pk")[: SHOWN_CANDIDATES + 1])


def _newest(batches: BatchQuerySet) -> str:
    newest = batches.exclude(total=0).order_by("-pk").values_list("public_id", flat=True).first()
    return f"; the newest is {newest}" if newest else ""
