"""What a runner holds: an outcome counts only under the lease under which it was sent."""

from batches.engine.records import Outcome
from batches.leases.chunks import Lease
from batches.runner.holdings import HeldChunk, Holdings
from batches.runner.results import ChunkOutcomes
from tests.engine.makers import request


def held(token: int, *indexes: int) -> HeldChunk:
    return HeldChunk(
        Lease(1, token, 10, 20),
        unread=dict.fromkeys(indexes, 2),
        prompt_ids={index: index for index in indexes},
        open=set(indexes),
    )


def outcome(index: int) -> Outcome:
    return Outcome(index=index, custom_id=f"id-{index}", status="succeeded")


def close(holdings: Holdings, *outcomes: tuple[int, int]) -> list[ChunkOutcomes]:
    """Close prompts, each named by its ticket and its index."""
    of_tickets = [(ticket, outcome(index)) for ticket, index in outcomes]
    return holdings.close(of_tickets, {}, renewing=False)


def test_a_chunk_is_done_with_the_last_of_its_prompts() -> None:
    holdings = Holdings()
    holdings.add(held(1, 10, 11))
    (first,) = close(holdings, (1, 10))
    assert not first.done
    (second,) = close(holdings, (1, 11))
    assert second.done
    holdings.let_go([first, second], lost=[])
    assert holdings.leases == []


def test_what_was_sent_under_a_lease_that_is_gone_does_not_count() -> None:
    holdings = Holdings()
    holdings.add(held(1, 10, 11))
    holdings.add(held(2, 10, 11))
    assert close(holdings, (1, 10), (1, 11)) == []
    assert holdings.chunk_of(request(10, ticket=1)) is None
    (chunk,) = close(holdings, (2, 10), (1, 11))
    assert [each.index for each in chunk.outcomes] == [10]
    assert not chunk.done


def test_a_second_outcome_of_a_prompt_does_not_count() -> None:
    holdings = Holdings()
    holdings.add(held(1, 10, 11))
    close(holdings, (1, 10))
    assert close(holdings, (1, 10)) == []
    assert holdings.chunk_of(request(10, ticket=1)) is None
    assert holdings.chunk_of(request(11, ticket=1)) is not None


def test_a_chunk_that_was_lost_is_let_go_but_not_the_one_that_was_claimed_anew() -> None:
    holdings = Holdings()
    old = held(1, 10)
    holdings.add(old)
    (chunk,) = close(holdings, (1, 10))
    anew = held(2, 10)
    holdings.add(anew)
    holdings.let_go([chunk], lost=[old.lease])
    assert holdings.leases == [anew.lease]
