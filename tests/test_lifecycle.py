import pytest

from batches.lifecycle import TERMINAL, TRANSITIONS, BatchStatus, check_transition


def test_only_transitions_on_the_drawing_are_allowed() -> None:
    for source in BatchStatus:
        for target in BatchStatus:
            if target in TRANSITIONS[source]:
                check_transition(source, target)
            else:
                with pytest.raises(ValueError, match=f"from {source} to {target}"):
                    check_transition(source, target)


def test_an_ended_batch_can_only_be_begun_anew() -> None:
    for status in TERMINAL:
        assert TRANSITIONS[status] <= {BatchStatus.IN_PROGRESS}
    assert not TRANSITIONS[BatchStatus.FAILED]
