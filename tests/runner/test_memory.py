"""What a process holds of requests and replies is bounded, counted in bytes."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from math import inf

import pytest
from pytest_django.fixtures import Settings

from batches.engine.deadlines import CallClock, Deadlines
from batches.models import Batch, Provider, Result
from batches.runner.holdings import HeldChunk, StoredPrompt
from batches.runner.run import SliceLimits, run_slice
from batches.runner.slice_records import Progress
from batches.runner.slices.memory import PROCESS, ByteBudget, Memory, ReplyReading
from batches.runner.store import SliceStore
from batches.stop_signal import StopSignal
from tests.checker import check_batch
from tests.configuring import configure
from tests.engine.makers import request
from tests.makers import MODEL, batch_of
from tests.receivers import receiving, url_of
from tests.scripted_server import Visit, answer, chat
from tests.scripted_thread import scripted
from tests.waiting import PATIENCE_S

MOST = 1000
PART = 15
# Bytes of a prompt.
LONG = 100_000


class Room:
    """The condition of a slice, without the slice."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    async def made(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@pytest.mark.parametrize(("readers", "parts"), [(1, 1), (100, 1), (100, 10), (7, 100), (3, 1000)])
async def test_replies_that_are_read_at_once_stay_within_the_bound_and_one_reply(
    readers: int, parts: int
) -> None:
    budget, room = ByteBudget(), Room()
    # Two slices of one process.
    memories = [Memory(room.wait, most=MOST, budget=budget) for _ in range(2)]
    peak = 0

    async def read(number: int) -> None:
        nonlocal peak
        with memories[number % 2].reading() as reading:
            for _ in range(parts):
                await reading.take(PART)
                peak = max(peak, budget.held)
                await asyncio.sleep(0)
        await room.made()

    await asyncio.gather(*map(read, range(readers)))
    assert budget.held == 0
    assert peak <= MOST + parts * PART
    assert peak >= min(MOST - PART, readers * parts * PART) or readers == 1


async def test_a_reply_that_fails_gives_its_room_to_another() -> None:
    budget, room = ByteBudget(), Room()
    memory = Memory(room.wait, most=MOST, budget=budget)

    async def read(reading: ReplyReading) -> None:
        await reading.take(MOST)
        await reading.take(MOST)

    async def fail() -> None:
        with memory.reading() as first:
            await read(first)
            raise OSError("broke")

    with pytest.raises(OSError, match="broke"):
        await fail()
    with memory.reading() as second:
        await asyncio.wait_for(read(second), 10)
    assert budget.held == 0


async def test_requests_wait_for_room_unless_a_slice_holds_nothing() -> None:
    budget = ByteBudget()
    memory, other = (Memory(Room().wait, most=MOST, budget=budget) for _ in range(2))
    assert memory.has_room_for(MOST)
    one = request(0)
    memory.hold(one)
    assert not memory.has_room_for(MOST)
    assert other.has_room_for(MOST)
    memory.release(one)
    memory.release(one)
    assert budget.held == 0


async def test_the_wait_for_room_is_not_taken_from_the_time_of_a_call() -> None:
    budget, room = ByteBudget(), Room()
    clocks: list[CallClock] = []
    waits = asyncio.Event()

    async def wait(condition: Callable[[], bool]) -> None:
        waits.set()
        await room.wait(condition)

    memory = Memory(wait, most=MOST, budget=budget)

    async def call() -> None:
        clock = Deadlines().begin(3600)
        clocks.append(clock)
        with memory.reading() as reading:
            await reading.take(MOST)
            assert clock.ends_at == pytest.approx(ends_at, abs=60)
        assert clock.not_counted_s > 0

    with memory.reading() as before:
        await before.take(MOST)
        await before.take(1)
        ends_at = asyncio.get_running_loop().time() + 3600
        waits.clear()
        calling = asyncio.create_task(call())
        await waits.wait()
        assert clocks[0].ends_at == inf
    await room.made()
    await calling


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [1, 5_000, 100_000, 10_000_000])
@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_a_batch_of_long_prompts_and_replies_ends_however_little_room_there_is(
    provider: Provider, settings: Settings, most: int, schedule: str
) -> None:
    configure(settings, MAX_BYTES_IN_FLIGHT=most)
    texts = [f"{number} {'x' * 3000}" for number in range(40)]
    with receiving(answer(chat("y" * 30_000))) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, texts, batch_size=8, schedule=schedule)
        assert run_slice(batch.pk).ended
        assert len(server.requests) == len(texts)
        if most < 3000:
            assert server.most_under_way == 1
    check_batch(batch)
    assert batch.succeeded == len(texts)
    assert PROCESS.held == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_prompts_that_are_held_back_do_not_keep_the_others_from_being_read(
    provider: Provider, settings: Settings, schedule: str, status: int
) -> None:
    """What a later call decides has its room until then, and that call has to be made."""
    configure(settings, MAX_BYTES_IN_FLIGHT=5_000)
    texts = [f"{number} {'x' * 3000}" for number in range(30)]
    options = {"batch_size": 8, "schedule": schedule, "max_attempts": 1}
    with receiving(answer({"error": {"message": "no"}}, status=status)) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        configure(settings, PROVIDER_PATIENCE=1)
        batch = batch_of(provider, texts, **options)
        report = run_slice(batch.pk)
    assert report.ended or report.pause_reason
    assert PROCESS.held == 0


@pytest.mark.django_db(transaction=True)
def test_prompts_are_read_in_pieces(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    read = SliceStore.read

    def counted(store: SliceStore, chunk: HeldChunk, indexes: Sequence[int]) -> list[StoredPrompt]:
        pieces.append(len(indexes))
        return read(store, chunk, indexes)

    monkeypatch.setattr(SliceStore, "read", counted)
    texts = [f"{number} {'x' * 1_500_000}" for number in range(5)]
    with receiving(answer(chat())) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, texts, batch_size=100)
        assert run_slice(batch.pk).ended
    check_batch(batch)
    assert Result.objects.filter(batch=batch, status="succeeded").count() == len(texts)
    assert pieces == [2, 2, 1]
    assert PROCESS.held == 0


@pytest.mark.django_db(transaction=True)
def test_the_defaults_of_a_batch_count_for_each_of_its_requests(
    provider: Provider, settings: Settings
) -> None:
    configure(settings, MAX_BYTES_IN_FLIGHT=1_000_000)
    defaults = {"model": MODEL, "metadata": {"long": "x" * 1_500_000}}
    with receiving(answer(chat())) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, [f"short {n}" for n in range(6)], defaults=defaults)
        assert run_slice(batch.pk).ended
        assert server.most_under_way <= 2
    check_batch(batch)
    assert batch.succeeded == 6


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("leaves", ["at a stop", "to make room"])
def test_what_is_dropped_gives_its_room_back_while_a_call_is_in_flight(
    provider: Provider, leaves: str
) -> None:
    held: list[int] = []
    freed = threading.Event()
    stop = StopSignal()

    async def answers_when_room_is_free(visit: Visit) -> None:
        await asyncio.to_thread(freed.wait, PATIENCE_S)
        await answer(chat())(visit)

    def observe(progress: Progress) -> None:
        held.append(PROCESS.held)
        was_full = max(held) > 2 * LONG and progress.in_flight == 1
        if was_full and leaves == "at a stop":
            stop.request()
        elif was_full and not Batch.objects.exclude(pk=batch.pk).exists():
            batch_of(provider, 1)
        if was_full and PROCESS.held < 2 * LONG:
            freed.set()

    with scripted(answers_when_room_is_free) as base_url:
        Provider.objects.update(base_url=base_url)
        texts = [f"{number} {'x' * LONG}" for number in range(9)]
        batch = batch_of(provider, texts, batch_size=1)
        run_slice(batch.pk, stop=stop, limits=SliceLimits(slice_s=0.0), on_progress=observe)
    assert freed.is_set(), f"{held} bytes were held"
    assert Result.objects.count() == 1
    assert PROCESS.held == 0


async def test_a_reply_exceeds_the_bound_only_when_all_others_are_stored() -> None:
    budget, room = ByteBudget(), Room()
    stored = False
    memory = Memory(room.wait, most=MOST, budget=budget, is_stored=lambda: stored)
    with memory.reading() as reading:
        await reading.take(MOST)
        more = asyncio.create_task(reading.take(1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not more.done()
        stored = True
        await room.made()
        await more
    assert budget.held == 0
