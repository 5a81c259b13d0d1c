"""Prompts that take long to prepare, that break it, or over which workers vanish."""

import itertools
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.engine.records import SCHEDULES
from batches.leases.chunks import CRASHES_TO_QUARANTINE, mark_suspect
from batches.models import Batch, Chunk, Prompt, Provider, Result
from batches.runner.run import run_slice
from batches.runner.slices import preparing
from batches.runner.slices.quarantine import CRASHES_TO_BLAME, CRASHES_TO_GIVE_UP
from simulator import SimulatedProvider
from tests.checker import check_batch
from tests.configuring import configure
from tests.large_schemas import batch_of_schemas
from tests.makers import batch_of, claim_chunk
from tests.scripted_server import Step, Visit
from tests.scripted_thread import scripted

_numbers = itertools.count(0, 1000)


@pytest.fixture
def by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prompt is a piece, as it is where one takes long."""
    monkeypatch.setattr(preparing, "PIECE_S", 0.0)


def vanish(batch: Batch, *, over: int | None = None) -> None:
    """A runner that claimed the first chunk, perhaps began with a prompt, and was gone."""
    lease = claim_chunk(batch.pk, seconds=60, quarantined=True)
    lease = lease or claim_chunk(batch.pk, seconds=60)
    assert lease
    if over is not None:
        assert mark_suspect(lease, over)
    gone = Chunk.objects.filter(pk=lease.chunk_id)
    gone.update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def failures(batch: Batch) -> dict[int, tuple[str, str]]:
    failed = Result.objects.filter(batch=batch, status="failed")
    return {row.index: (row.kind, row.message) for row in failed}


def answering(compiled: list[Any], compiled_at_call: list[int]) -> Step:
    """Note at each call how many schemas have been compiled, and answer."""

    async def step(visit: Visit) -> None:
        compiled_at_call.append(len(compiled))
        message = {"role": "assistant", "content": "{}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        await visit.send(head.encode() + b"\r\n\r\n" + body)

    return step


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_chunk_that_is_prepared_for_longer_than_its_lease_is_claimed_once(
    provider: Provider,
    simulator: SimulatedProvider,
    settings: Settings,
    compiled: list[Any],
    schedule: str,
) -> None:
    configure(settings, LEASE_SECONDS=1)
    batch = batch_of_schemas(provider, 24, first=next(_numbers), schedule=schedule)
    began = time.monotonic()
    with CaptureQueriesContext(connection) as queries:
        assert run_slice(batch.pk).ended
    leases = int(time.monotonic() - began)
    check_batch(batch)
    assert len(compiled) == 24
    assert simulator.calls.total() == 24
    chunk = Chunk.objects.get(batch=batch)
    assert (chunk.lease_token, chunk.crashes) == (1, 0)
    renewals = [
        query
        for query in queries.captured_queries
        if query["sql"].startswith('UPDATE "batches_chunk"') and "'done'" not in query["sql"]
    ]
    # How often is a matter of the machine; without renewals between pieces there was one at most.
    assert len(renewals) >= min(leases, 2)


@pytest.mark.usefixtures("by_one")
def test_calls_are_sent_while_other_prompts_of_their_chunk_are_prepared(
    provider: Provider, compiled: list[Any]
) -> None:
    compiled_at_call: list[int] = []
    with scripted(answering(compiled, compiled_at_call)) as base_url:
        Provider.objects.update(base_url=base_url)
        batch = batch_of_schemas(provider, 12, first=next(_numbers), fields=200)
        assert run_slice(batch.pk).ended
    check_batch(batch)
    assert len(compiled_at_call) == 12
    assert compiled_at_call[0] < 8
    assert len(compiled) == 12


@pytest.mark.usefixtures("by_one")
def test_in_lockstep_all_calls_of_a_chunk_are_sent_together(
    provider: Provider, compiled: list[Any]
) -> None:
    compiled_at_call: list[int] = []
    with scripted(answering(compiled, compiled_at_call)) as base_url:
        Provider.objects.update(base_url=base_url)
        batch = batch_of_schemas(
            provider, 6, first=next(_numbers), fields=3, batch_size=3, schedule="lockstep"
        )
        assert run_slice(batch.pk).ended
    check_batch(batch)
    assert compiled_at_call == [3, 3, 3, 6, 6, 6]


BROKEN = ["", "{", "nothing", '"text"', "[]", "[" * 100_000, '{"messages": 1e999}']


@pytest.mark.parametrize("body", BROKEN)
def test_a_prompt_that_breaks_the_preparation_fails_alone(provider: Provider, body: str) -> None:
    batch = batch_of(provider, 4)
    Prompt.objects.filter(batch=batch, index=1).update(body=body)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    [(index, (kind, message))] = failures(batch).items()
    assert index == 1
    assert kind in ("internal", "rejected")
    assert message


@pytest.mark.parametrize("crashes", [CRASHES_TO_QUARANTINE, CRASHES_TO_GIVE_UP - 1])
def test_a_chunk_over_which_workers_vanished_is_tried_prompt_by_prompt(
    provider: Provider, simulator: SimulatedProvider, crashes: int
) -> None:
    batch = batch_of(provider, 3)
    for _ in range(crashes):
        vanish(batch)
    assert Chunk.objects.get(batch=batch).crashes == crashes - 1
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert failures(batch) == {}
    assert simulator.in_flight_peak == 1


def test_a_chunk_that_is_claimed_again_and_again_without_a_call_fails_by_name(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 5, batch_size=3)
    for _ in range(CRASHES_TO_GIVE_UP):
        vanish(batch)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    found = failures(batch)
    assert sorted(found) == [0, 1, 2]
    for kind, message in found.values():
        assert kind == "worker_crashed"
        assert "10 workers vanished" in message
        assert "retry the batch" in message
    assert simulator.calls.total() == 2


def test_a_chunk_fails_too_whose_suspect_is_no_longer_open(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 3)
    for _ in range(CRASHES_TO_QUARANTINE):
        vanish(batch)
    vanish(batch, over=0)
    Prompt.objects.filter(batch=batch, index=0).delete()
    for _ in range(CRASHES_TO_GIVE_UP):
        vanish(batch)
    run_slice(batch.pk)
    found = failures(batch)
    assert sorted(found) == [1, 2]
    assert {kind for kind, _ in found.values()} == {"worker_crashed"}
    assert simulator.calls.total() == 0


@pytest.mark.parametrize("suspect", [0, 1, 2])
def test_a_prompt_over_which_workers_vanish_while_it_is_prepared_fails_and_no_other(
    provider: Provider, simulator: SimulatedProvider, suspect: int
) -> None:
    batch = batch_of(provider, 3)
    for _ in range(CRASHES_TO_QUARANTINE):
        vanish(batch)
    for _ in range(CRASHES_TO_BLAME):
        vanish(batch, over=suspect)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    [(index, (kind, message))] = failures(batch).items()
    assert (index, kind) == (suspect, "worker_crashed")
    assert "3 workers vanished" in message
    assert simulator.calls.total() == 2


def test_in_quarantine_a_prompt_is_noted_before_it_is_prepared(provider: Provider) -> None:
    batch = batch_of(provider, 1)
    Prompt.objects.filter(batch=batch).update(body="{")
    Chunk.objects.filter(batch=batch).update(crashes=CRASHES_TO_QUARANTINE)
    assert run_slice(batch.pk).ended
    assert failures(batch)[0][0] == "internal"
    assert Chunk.objects.get(batch=batch).suspect == 0


def test_in_quarantine_a_chunk_of_rejected_and_good_prompts_ends(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 6)
    Prompt.objects.filter(batch=batch, index__in=[0, 3, 4]).update(body='{"messages":[]}')
    Chunk.objects.filter(batch=batch).update(crashes=CRASHES_TO_QUARANTINE)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert sorted(failures(batch)) == [0, 3, 4]
    assert simulator.calls.total() == 3


def test_in_quarantine_prompts_that_the_provider_refuses_hold_nothing_up(
    provider: Provider,
) -> None:
    texts = ["[simulate: status=400]", "fine", "[simulate: status=500]", "[simulate: status=400]"]
    batch = batch_of(provider, texts, max_attempts=2)
    Chunk.objects.filter(batch=batch).update(crashes=CRASHES_TO_QUARANTINE)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert sorted(failures(batch)) == [0, 2, 3]
