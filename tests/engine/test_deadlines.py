"""One timer ends all calls whose time is over."""

import asyncio

import pytest

from batches.engine.deadlines import Deadlines, not_counted


async def ends(deadlines: Deadlines, limit_s: float, work_s: float) -> str:
    """Return how a call of this length ends under this limit."""
    clock = deadlines.begin(limit_s)
    try:
        await asyncio.sleep(work_s)
    except asyncio.CancelledError:
        if clock.forgive():
            return "over"
        raise
    else:
        return "done"
    finally:
        deadlines.end(clock)


async def test_each_call_has_its_own_limit_whatever_the_order() -> None:
    deadlines = Deadlines()
    limits = [(3600.0, 0.0), (0.01, 3600.0), (0.0, 3600.0)]
    found = await asyncio.gather(*(ends(deadlines, *limit) for limit in limits))
    assert found == ["done", "over", "over"]
    assert await ends(deadlines, 0.02, 3600.0) == "over"


async def test_a_call_that_others_cancel_too_is_cancelled() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(ends(deadlines, 3600.0, 3600.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_a_limit_the_task_counts_as_not_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert await ends(Deadlines(), 0.0, 3600.0) == "over"
    assert not task.cancelling()


async def test_a_stopped_clock_goes_on_with_the_time_that_was_left() -> None:
    deadlines = Deadlines()
    clock = deadlines.begin(0.05)
    with not_counted():
        # Longer than the limit, and than the timer, which finds no running clock.
        await asyncio.sleep(0.2)
    assert clock.not_counted_s >= 0.2
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(3600)
    assert clock.forgive()
