import pytest

from batches.lifecycle import TRANSITIONS, BatchStatus, check_transition


def test_only_transitions_on_the_drawing_are_allowed() -> None:
    for source in BatchStatus:
        for target in BatchStatus:
            if target in TRANSITIONS[source]:
                check_transition(source, target)
            else:
                with pytest.raises(ValueError, match=f"from {source} to {target}"):
                    check_transition(source, target)


def test_an_ended_batch_stays_ended() -> None:
    for status in ("completed", "failed", "expired", "cancelled"):
        assert not TRANSITIONS[BatchStatus(status)]
