import json
import logging
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from batches.ending.finishing import finish_batch
from batches.ending.summary import summarise
from batches.engine.errors import AuthError, ConfigError
from batches.engine.records import SCHEDULES
from batches.models import Batch, Chunk, Prompt, Provider, Result
from batches.providers.configured import ProviderMisconfigured
from batches.runner.run import run_slice
from batches.runner.slice_records import Progress
from batches.stop_signal import StopSignal
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import batch_of, claim_chunk

FORGET_LEASES = {"lease_expires_at": timezone.now() - timedelta(days=1)}


def results_of(batch: Batch) -> dict[int, Result]:
    return {result.index: result for result in Result.objects.filter(batch=batch)}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_prompt_is_called_once_and_has_its_own_answer(
    provider: Provider, simulator: SimulatedProvider, schedule: str
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.05")
    batch = batch_of(provider, 95, batch_size=10, schedule=schedule)
    report = run_slice(batch.pk)
    assert report.ended
    check_batch(batch)
    assert simulator.calls == Counter(f"prompt {n}" for n in range(95))
    answers = {result.body for result in results_of(batch).values()}
    assert len(answers) == 95


def test_failures_of_every_sort_end_as_results_beside_the_others(provider: Provider) -> None:
    batch = batch_of(
        provider,
        [
            "fine",
            "[simulate: status=400]",
            "[simulate: status=500]",
            "[simulate: body=html]",
            "[simulate: body=truncated times=1] fine in the end",
            "[simulate: reset]",
            "[simulate: redirect=http://127.0.0.1:9/]",
            "[simulate: status=429 retry_after=0.01 times=3] fine in the end",
        ],
        max_attempts=2,
    )
    assert run_slice(batch.pk).ended
    check_batch(batch)
    results = results_of(batch)
    kinds = ["", "request", "server", "malformed", "", "network", "config", ""]
    assert [results[n].kind for n in range(8)] == kinds
    # A 429 costs no attempt; every other failure does.
    assert [results[n].calls for n in range(8)] == [1, 1, 2, 2, 2, 2, 1, 4]
    batch.refresh_from_db()
    assert batch.calls == 15


def test_hostile_replies_are_stored_without_harm_to_their_neighbours(provider: Provider) -> None:
    batch = batch_of(
        provider,
        [
            "before",
            "[simulate: body=nul]",
            "[simulate: body=surrogate]",
            "[simulate: body=nan]",
            "[simulate: body=deep]",
            "[simulate: body=invalid_utf8]",
            "[simulate: body=empty]",
            "after",
        ],
        max_attempts=1,
    )
    assert run_slice(batch.pk).ended
    check_batch(batch)
    results = results_of(batch)
    assert results[0].status == results[7].status == "succeeded"
    for result in results.values():
        if result.body is not None:
            assert "\x00" not in json.dumps(json.loads(result.body), ensure_ascii=False)


def test_a_prompt_that_cannot_be_prepared_fails_alone(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    broken = {
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "objekt"}},
        },
    }
    Prompt.objects.filter(batch=batch, index=1).update(body=json.dumps(broken))
    assert run_slice(batch.pk).ended
    check_batch(batch)
    result = results_of(batch)[1]
    assert (result.kind, result.calls, result.latency_s) == ("rejected", 0, None)
    assert "objekt" in result.message


def test_a_batch_of_nothing_but_rejected_prompts_completes(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    Prompt.objects.filter(batch=batch).update(body='{"messages":[]}')
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert summarise(batch).timing.first_result_s is None


def test_a_refused_key_pauses_the_batch_and_fails_no_prompt(
    provider: Provider, simulator: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "wrong")
    Provider.objects.update(api_key_env="TEST_KEY")
    simulator.behaviour = Behaviour(api_key="right")
    batch = batch_of(provider, 30, batch_size=5)
    report = run_slice(batch.pk)
    batch.refresh_from_db()
    assert isinstance(report.paused, AuthError)
    assert batch.status == "in_progress"
    assert batch.standstill.startswith("auth: HTTP 401")
    assert report.pause_reason == batch.standstill == batch.provider.pause_reason
    assert simulator.calls.total() <= 5
    assert not Result.objects.exists()
    monkeypatch.setenv("TEST_KEY", "right")
    Provider.objects.update(pause_reason="")
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == 30


def test_a_model_that_the_provider_lacks_pauses_a_large_batch(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=("another",))
    batch = batch_of(provider, 200, batch_size=5)
    report = run_slice(batch.pk)
    assert isinstance(report.paused, ConfigError)
    assert simulator.calls.total() < 30
    assert not report.ended


def test_a_second_slice_repeats_no_call_whose_result_is_stored(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 60, batch_size=5)
    stop = StopSignal()

    def stop_soon(progress: Progress) -> None:
        if progress.succeeded:
            stop.request()
            held.close()

    with ExitStack() as held:
        held.enter_context(simulator.holding(after=10))
        report = run_slice(batch.pk, stop=stop, on_progress=stop_soon)
    assert not report.ended
    stored = Result.objects.count()
    assert 0 < stored < 60
    assert simulator.calls.total() == stored
    assert not Chunk.objects.filter(state="leased").exists()
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert set(simulator.calls.values()) == {1}


def test_a_stop_before_the_first_call_calls_nothing(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 5)
    stop = StopSignal()
    stop.request()
    assert not run_slice(batch.pk, stop=stop).ended
    assert not simulator.calls


def test_chunks_that_another_runner_holds_are_left_alone(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 20, batch_size=5)
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    assert not run_slice(batch.pk).ended
    assert sorted(results_of(batch)) == list(range(5, 20))
    Chunk.objects.filter(pk=lease.chunk_id).update(**FORGET_LEASES)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert set(simulator.calls.values()) == {1}


def test_a_runner_that_lost_a_chunk_stores_nothing_of_it(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0.1,0.5")
    batch = batch_of(provider, 40, batch_size=10)
    stolen: list[int] = []

    def steal(_: Progress) -> None:
        # Another runner takes a chunk that this one is in the middle of.
        if not stolen:
            held = Chunk.objects.filter(batch=batch, state="leased").order_by("lo").first()
            if held:
                Chunk.objects.filter(pk=held.pk).update(lease_token=held.lease_token + 1)
                stolen.append(held.pk)

    run_slice(batch.pk, on_progress=steal)
    assert stolen
    batch.refresh_from_db()
    assert Result.objects.filter(batch=batch).count() == batch.succeeded < 40
    Chunk.objects.filter(pk=stolen[0]).update(**FORGET_LEASES)
    assert run_slice(batch.pk).ended
    check_batch(batch)


def test_a_chunk_whose_results_are_all_stored_is_only_closed(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 10, batch_size=5)
    run_slice(batch.pk)
    simulator.reset()
    Chunk.objects.filter(batch=batch, lo=0).update(state="ready")
    Batch.objects.filter(pk=batch.pk).update(status="in_progress")
    assert run_slice(batch.pk).ended
    assert not simulator.calls


class GoneForAMoment:
    """A database that fails when the prompts of the first chunk are read."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - as Django calls it
        if sql.startswith("SELECT") and '"custom_id"' in sql and not self.failed:
            self.failed = True
            raise OperationalError("the server closed the connection")
        return execute(sql, params, many, context)


@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_could_not_be_read_is_claimed_again_at_once(provider: Provider) -> None:
    batch = batch_of(provider, 10, batch_size=5)
    database = GoneForAMoment()
    with connection.execute_wrapper(database):
        assert run_slice(batch.pk).ended
    assert database.failed
    check_batch(batch)
    assert not Chunk.objects.filter(crashes__gt=0).exists()


def test_a_budget_that_is_spent_with_the_last_prompt_pauses_nothing(provider: Provider) -> None:
    batch = batch_of(provider, 4, batch_size=4, max_tokens_total=1)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.pause_reason == ""


def test_finishing_twice_changes_nothing(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    assert not finish_batch(batch.pk)
    run_slice(batch.pk)
    batch.refresh_from_db()
    ended = batch.completed_at
    assert finish_batch(batch.pk)
    batch.refresh_from_db()
    assert batch.completed_at == ended


def test_the_timing_of_a_batch_adds_up(provider: Provider, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.1")
    batch = batch_of(provider, 20, batch_size=10)
    run_slice(batch.pk)
    timing = summarise(batch).timing
    assert timing.answered == 20
    assert timing.first_result_s is not None
    assert timing.p50_s is not None
    assert 0.1 <= timing.first_result_s <= timing.total_s
    assert timing.p50_s >= 0.1
    batch.refresh_from_db()
    assert timing.speed_up == pytest.approx(batch.busy_s / timing.total_s)


def test_the_window_is_the_most_calls_in_flight(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    # Long enough for all calls of a window to arrive before the first of them ends.
    simulator.behaviour = Behaviour(latency="fixed:0.5")
    batch = batch_of(provider, 21, batch_size=7)
    run_slice(batch.pk)
    assert simulator.in_flight_peak == 7


def test_a_missing_key_is_named_before_anything_is_sent(
    provider: Provider, simulator: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    Provider.objects.update(api_key_env="TEST_KEY")
    batch = batch_of(provider, 3)
    with pytest.raises(ProviderMisconfigured, match="TEST_KEY"):
        run_slice(batch.pk)
    assert not simulator.calls
    assert batch.chunks.claimable().count() == 1


def test_a_run_logs_its_performance(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    batch = batch_of(provider, 3)
    with caplog.at_level(logging.INFO, logger="batches.ending"):
        run_slice(batch.pk)
    assert batch.public_id in caplog.text
    assert "average" in caplog.text


def test_the_time_of_a_result_is_the_database_s_whatever_the_worker_s_clock_says(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(provider, 3)
    time_then = time.time
    monkeypatch.setattr(time, "time", lambda: time_then() + 3600)
    run_slice(batch.pk)
    now = Batch.objects.annotate(now=Now()).values_list("now", flat=True).get(pk=batch.pk)
    done = Result.objects.filter(batch=batch).values_list("done_at", flat=True)
    assert len(done) == 3
    assert all(now - timedelta(minutes=10) < moment <= now for moment in done)
