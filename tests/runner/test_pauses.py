"""A provider that refuses its callers is paused, costs no prompt, and is tried again by probes."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from batches.actions import providers as provider_actions
from batches.engine.prepare import with_response_schema
from batches.engine.refusals import FORBIDDEN_TO_PAUSE
from batches.leases.chunks import CRASHES_TO_QUARANTINE
from batches.lifecycle import PauseKind
from batches.models import Batch, Chunk, Provider, Result
from batches.providers import breaker
from batches.runner.run import run_slice
from batches.runner.slice_records import Progress
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import MODEL, batch_of
from tests.runner.resuming import resume_to_the_end

CHAT = "/v1/chat/completions"
WINDOW = 10
ALL = 120
REFUSED_FROM = 50
QUOTA_CODES = ("insufficient_quota", "exceeded_current_quota_error", "Arrearage", "1113")


@pytest.fixture
def other_simulator() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as simulator:
        yield simulator


def make_probe_due(provider: Provider) -> None:
    """Let the time of the next probe come."""
    long_ago = Now() - timedelta(days=1)
    Provider.objects.filter(pk=provider.pk, probe_at__isnull=False).update(probe_at=long_ago)


def probe(batch: Batch) -> bool:
    """Do what a worker does that is rung for a paused provider; whether a probe was sent."""
    if not breaker.claim_probe(batch.pk):
        return False
    run_slice(batch.pk, probing=True)
    return True


def refuse(simulator: SimulatedProvider, status: int, code: str = "") -> None:
    simulator.behaviour = Behaviour(
        latency="uniform:0,0.02", fail_from=REFUSED_FROM, fail_status=status, fail_code=code
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, ""), (403, ""), (402, ""), *((429, code) for code in QUOTA_CODES)],
)
def test_a_key_or_account_that_fails_in_mid_run_costs_a_window_of_calls_and_no_prompt(
    provider: Provider, simulator: SimulatedProvider, status: int, code: str
) -> None:
    refuse(simulator, status, code)
    batch = batch_of(provider, ALL, batch_size=WINDOW)
    report = run_slice(batch.pk)
    assert report.pause_reason
    # The first 403s may be their prompts' own fault, and others take their places.
    held_back = FORBIDDEN_TO_PAUSE - 1 if status == 403 else 0
    assert simulator.by_status[str(status)] <= WINDOW + held_back
    assert not Result.objects.filter(batch=batch).exclude(status="succeeded").exists()
    batch.refresh_from_db()
    assert (batch.status, batch.failed, batch.pause_reason) == ("in_progress", 0, "")
    assert batch.standstill == report.pause_reason
    simulator.behaviour = Behaviour()
    before = simulator.calls.total()
    assert not run_slice(batch.pk).ended
    assert simulator.calls.total() == before
    provider_actions.resume_provider(provider)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == ALL


def test_an_ordinary_429_is_no_reason_to_pause(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, ["fine", "[simulate: status=429 retry_after=0.01 times=2] fine"])
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == 2
    assert simulator.by_status["429"] == 2


def test_the_refused_key_of_one_provider_stops_no_other(
    provider: Provider, simulator: SimulatedProvider, other_simulator: SimulatedProvider
) -> None:
    other = Provider.objects.create(name="other", base_url=other_simulator.base_url)
    refuse(simulator, 401)
    stopped, running = (batch_of(each, ALL, batch_size=WINDOW) for each in (provider, other))
    assert run_slice(stopped.pk).pause_reason
    assert run_slice(running.pk).ended
    check_batch(running)


def test_a_probe_is_one_call_and_opens_the_provider_when_it_goes_well(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    refuse(simulator, 401)
    batch = batch_of(provider, ALL, batch_size=WINDOW)
    run_slice(batch.pk)
    before = simulator.calls.total()
    assert breaker.batches_to_probe() == []
    assert not probe(batch)
    make_probe_due(provider)
    assert breaker.batches_to_probe() == [batch.pk]
    assert probe(batch)
    assert simulator.calls.total() == before + 1
    provider.refresh_from_db()
    assert provider.pause_reason
    simulator.behaviour = Behaviour()
    make_probe_due(provider)
    assert probe(batch)
    assert simulator.calls.total() == before + 2
    provider.refresh_from_db()
    assert provider.pause_reason == ""
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == ALL


def test_a_probe_that_fails_makes_the_next_one_wait_longer(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    refuse(simulator, 401)
    batch = batch_of(provider, ALL, batch_size=WINDOW)
    run_slice(batch.pk)
    waits = []
    for _ in range(7):
        make_probe_due(provider)
        assert breaker.claim_probe(batch.pk)
        assert not breaker.claim_probe(batch.pk)
        left = Provider.objects.annotate(now=Now()).annotate(wait=F("probe_at") - F("now"))
        waits.append(round(left.values_list("wait", flat=True).get(pk=provider.pk).total_seconds()))
    assert waits == [60, 120, 240, 480, 600, 600, 600]


def test_nothing_probes_a_provider_that_staff_have_paused(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 5)
    provider_actions.pause_provider(provider, "the bill")
    make_probe_due(provider)
    assert breaker.batches_to_probe() == []
    assert not probe(batch)
    assert not breaker.trip(provider.pk, PauseKind.AUTH, "auth: a call that was in flight")
    provider.refresh_from_db()
    assert provider.pause_reason == "manual: the bill"
    assert run_slice(batch.pk).pause_reason == "manual: the bill"
    assert simulator.calls.total() == 0


def test_a_model_that_is_not_there_pauses_its_batch_and_no_other_of_the_provider(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=("simulated-small",))
    wrong = batch_of(provider, ALL, batch_size=WINDOW, defaults={"model": "misspelt"})
    right = batch_of(provider, ALL, batch_size=WINDOW)
    assert run_slice(wrong.pk).pause_reason.startswith("config: ")
    provider.refresh_from_db()
    assert provider.pause_reason == ""
    assert run_slice(right.pk).ended
    check_batch(right)
    assert right.succeeded == ALL


def test_prompts_that_are_all_refused_pause_the_batch_and_fail_when_it_is_resumed(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, ["[simulate: status=400]"] * ALL, batch_size=WINDOW)
    assert run_slice(batch.pk).pause_reason.startswith("request: ")
    assert not Result.objects.exists()
    assert simulator.calls.total() < ALL
    resume_to_the_end(batch)
    assert batch.failed == ALL


def test_a_prompt_that_is_forbidden_fails_alone_when_others_are_answered(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    texts = [f"prompt {n}" for n in range(10)]
    texts[3] += " [simulate: status=403]"
    batch = batch_of(provider, texts, batch_size=2)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert (batch.succeeded, batch.failed) == (9, 1)


def test_a_probe_shows_a_provider_open_though_it_refuses_the_prompt(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, ["[simulate: status=400]"])
    assert breaker.trip(provider.pk, PauseKind.AUTH, "auth: the key was refused")
    make_probe_due(provider)
    assert probe(batch)
    provider.refresh_from_db()
    assert provider.pause_reason == ""
    assert simulator.calls.total() == 1


def test_a_batch_whose_chunks_are_all_in_quarantine_can_probe(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = batch_of(provider, 4, batch_size=2)
    Chunk.objects.filter(batch=batch).update(crashes=CRASHES_TO_QUARANTINE)
    assert breaker.trip(provider.pk, PauseKind.AUTH, "auth: the key was refused")
    make_probe_due(provider)
    assert probe(batch)
    assert simulator.calls.total() == 1
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == 4


def test_each_probe_is_of_another_batch(provider: Provider, simulator: SimulatedProvider) -> None:
    simulator.behaviour = Behaviour(fail_from=1, fail_status=401)
    batches = [batch_of(provider, 2) for _ in range(3)]
    assert breaker.trip(provider.pk, PauseKind.AUTH, "auth: the key was refused")
    probed = []
    for _ in range(4):
        make_probe_due(provider)
        (due,) = breaker.batches_to_probe()
        probed.append(due)
        assert probe(Batch.objects.get(pk=due))
    first, second, third = (batch.pk for batch in batches)
    assert probed == [first, second, third, first]
    assert not Result.objects.exists()


def test_a_403_that_only_one_batch_meets_pauses_that_batch_and_fails_it_when_it_is_resumed(
    provider: Provider,
) -> None:
    forbidden, fine = batch_of(provider, ["[simulate: status=403]"]), batch_of(provider, 3)
    assert run_slice(forbidden.pk).pause_reason.startswith("auth: ")
    # For all that is known it may be the key.
    assert not Batch.objects.runnable().exists()
    for batch in (forbidden, fine):
        make_probe_due(provider)
        assert probe(batch)
    assert list(Batch.objects.runnable()) == [fine]
    forbidden.refresh_from_db()
    assert forbidden.pause_reason.startswith("auth: ")
    resume_to_the_end(forbidden)
    assert forbidden.failed == 1
    assert run_slice(fine.pk).ended


def test_a_pause_fails_no_prompt_that_is_to_be_asked_again(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:3")
    texts = ["[simulate: latency=0]", *["[simulate: answer=not_json turn=1]"] * 4]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    defaults = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=schema)
    batch = batch_of(provider, texts, defaults=defaults)

    def pause(_: Progress) -> None:
        provider_actions.pause_provider(provider)

    assert run_slice(batch.pk, on_progress=pause).pause_reason
    assert Result.objects.count() == 1
    provider_actions.resume_provider(provider)
    simulator.behaviour = Behaviour()
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == 5
