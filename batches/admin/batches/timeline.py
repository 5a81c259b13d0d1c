"""The timeline of a batch: its states, and what staff did to it, each with its time."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model

from batches.leases.state import label_of
from batches.lifecycle import BatchStatus
from batches.models import Batch
from batches.users import username_lookup

# What staff did last; the history has it all.
SHOWN_ENTRIES = 20
CREATED = "Created."
# The times of these states are stored; a retry replaces them.
STAMPED = [status for status in BatchStatus if status != BatchStatus.VALIDATING]


@dataclass(frozen=True, slots=True)
class Step:
    """An entry of the timeline; `by` is the user who caused it, if known."""

    label: str
    at: datetime
    by: str = ""


def timeline_of(batch: Batch) -> list[Step]:
    """Return the steps of a batch so far, in the order of their times, in one query."""
    steps = [Step("Created", batch.created_at), *_states(batch), *_entries(batch)]
    return sorted(steps, key=lambda step: step.at)


def _states(batch: Batch) -> list[Step]:
    times = {status: getattr(batch, f"{status}_at") for status in STAMPED}
    named = {BatchStatus.IN_PROGRESS: "Started"}
    return [Step(named.get(name, label_of(name)), at) for name, at in times.items() if at]


def _entries(batch: Batch) -> list[Step]:
    entries = LogEntry.objects.filter(
        content_type=get_content_type_for_model(batch), object_id=str(batch.pk)
    ).exclude(change_message=CREATED)
    columns = ("change_message", "action_time", username_lookup("user"))
    newest = entries.order_by("-pk").values_list(*columns)
    return [Step(_first_sentence(what), at, by) for what, at, by in newest[:SHOWN_ENTRIES]]


def _first_sentence(what: str) -> str:
    return what.partition(". ")[0].rstrip(".")
