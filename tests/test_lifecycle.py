"""The transitions of the code are those that docs/states.md draws, and no others."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from batches.lifecycle import (
    CHUNK_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    EVENT_TYPES,
    TERMINAL,
    TRANSITIONS,
    UPLOAD_TRANSITIONS,
    BatchStatus,
    ChunkState,
    DeliveryStatus,
    UploadStatus,
    check_transition,
)

DRAWINGS: dict[str, Mapping[Any, frozenset[Any]]] = {
    "Batch": TRANSITIONS,
    "Chunk": CHUNK_TRANSITIONS,
    "Upload": UPLOAD_TRANSITIONS,
    "Delivery": DELIVERY_TRANSITIONS,
}
DRAWN = (Path(settings.BASE_DIR) / "docs" / "states.md").read_text()


def arrows(heading: str) -> set[tuple[str, str]]:
    """Return the arrows that are drawn under a heading."""
    section = DRAWN.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^(\w+) +--> (\w+)", section, re.MULTILINE)
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(("heading", "transitions"), DRAWINGS.items())
def test_what_is_drawn_is_what_the_code_allows(
    heading: str, transitions: Mapping[Any, frozenset[Any]]
) -> None:
    allowed = {(str(a), str(b)) for a, targets in transitions.items() for b in targets}
    assert arrows(heading) == allowed


def test_every_state_has_a_place() -> None:
    assert set(TRANSITIONS) == set(BatchStatus)
    assert set(CHUNK_TRANSITIONS) == set(ChunkState)
    assert set(UPLOAD_TRANSITIONS) == set(UploadStatus)
    assert set(DELIVERY_TRANSITIONS) == set(DeliveryStatus)


@pytest.mark.parametrize("source", BatchStatus)
@pytest.mark.parametrize("target", BatchStatus)
def test_any_other_transition_is_refused(source: BatchStatus, target: BatchStatus) -> None:
    if (source, target) in arrows("Batch"):
        check_transition(source, target)
    else:
        with pytest.raises(ValueError, match=f"from {source} to {target}"):
            check_transition(source, target)


def test_each_end_of_a_batch_has_an_event() -> None:
    assert {f"batch.{status}" for status in TERMINAL} == set(EVENT_TYPES)


def test_an_ended_batch_can_only_be_begun_anew() -> None:
    for status in TERMINAL:
        assert TRANSITIONS[status] <= {BatchStatus.IN_PROGRESS}
    assert not TRANSITIONS[BatchStatus.FAILED]
