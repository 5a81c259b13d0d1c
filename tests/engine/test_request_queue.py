"""Requests that are kept back: on the shelf of a target that is away, or on the bench."""

from collections.abc import AsyncIterator, Sequence

from batches.engine.errors import ServerError
from batches.engine.records import PreparedRequest
from batches.engine.request_queue import Call, RequestQueue
from tests.engine.makers import in_chunks, request


async def filled(count: int) -> tuple[RequestQueue, list[Call]]:
    """Return a queue that has given out all of these requests."""
    queue = RequestQueue(count + 1)
    await queue.fill(in_chunks(map(request, range(count)), count))
    calls = [await queue.take() for _ in range(count)]
    return queue, [call for call in calls if call is not None]


async def test_what_is_benched_is_given_out_when_nothing_is_left_that_could_tell() -> None:
    queue, (first, second, third) = await filled(3)
    queue.bench(first)
    queue.bench(second)
    queue.finish()
    given = [await queue.take(), await queue.take()]
    assert given == [first, second]
    assert first.is_proved
    assert first.exhausted
    assert not third.is_proved
    queue.finish()
    queue.finish()
    assert queue.is_closed
    assert await queue.take() is None


async def test_what_is_benched_waits_as_long_as_more_may_come() -> None:
    async def nothing_more() -> AsyncIterator[Sequence[PreparedRequest]]:
        yield [request(0)]
        call = await queue.take()
        assert call is not None
        queue.bench(call)
        benched.append(call.is_proved)

    benched: list[bool] = []
    queue = RequestQueue(2)
    await queue.fill(nothing_more())
    assert benched == [False]
    call = await queue.take()
    assert call is not None
    assert call.is_proved


async def test_an_outage_moves_what_is_benched_to_the_shelf() -> None:
    queue, (first, _other) = await filled(2)
    queue.bench(first)
    first.excuse()
    queue.shelve_waiting(first, "model")
    assert queue.has_shelved("model")
    assert not first.exhausted
    queue.unbench(first)
    assert queue.release_one("model") is first
    assert await queue.take() is first


async def test_a_probe_is_a_request_that_has_not_failed_yet_if_there_is_one() -> None:
    queue, (first, second) = await filled(2)
    first.error = ServerError("500")
    queue.shelve(first, "model")
    queue.shelve(second, "model")
    assert queue.release_one("model") is second
    assert queue.release_one("model") is first
    assert queue.release_one("model") is None
