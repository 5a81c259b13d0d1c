"""A runner claims as many chunks at once as half a second of work needs."""

import pytest

from batches.runner.slices.claiming import MOST_CLAIMED, next_most


@pytest.mark.parametrize(
    ("claimed", "lasted_s", "expected"),
    [
        (1, 60.0, 1),
        (1, 0.3, 1),
        (1, 0.25, 2),
        (1, 0.0, 2),
        (8, 0.5, 8),
        (8, 0.01, 16),
        (8, 5.0, 1),
        (MOST_CLAIMED, 0.0, MOST_CLAIMED),
    ],
)
def test_the_next_claim_follows_the_pace_and_at_most_doubles(
    claimed: int, lasted_s: float, expected: int
) -> None:
    assert next_most(claimed, lasted_s) == expected
