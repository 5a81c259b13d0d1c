"""Runners never send a prompt beyond the pilot before its gate is open."""

from collections import Counter

import pytest

from batches.actions import batches as batch_actions
from batches.actions.options import Pilot
from batches.ending.pilot import pilot_report
from batches.engine.records import SCHEDULES
from batches.leases.pilot_sample import EvenSample
from batches.limits.rules import Rules
from batches.models import Provider
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import batch_of
from tests.output.test_result_tables import created
from tests.runners import run_with

ALL, ROWS, RUNNERS = 120, 17, 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_four_runners_send_the_pilot_once_and_then_the_rest_once(
    provider: Provider, simulator: SimulatedProvider, schedule: str
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.05")
    options = {"batch_size": 8, "parallelism": RUNNERS, "schedule": schedule}
    batch = batch_of(provider, ALL, pilot=Pilot(rows=ROWS), **options)
    run_with(RUNNERS, batch)
    pilot = Counter(f"prompt {index}" for index in EvenSample(ALL, ROWS))
    assert simulator.calls == pilot
    assert batch.pause_kind == "pilot"
    # As often as anyone starts a runner.
    run_with(RUNNERS, batch)
    assert simulator.calls == pilot
    batch_actions.resume_batch(batch)
    run_with(RUNNERS, batch)
    check_batch(batch)
    assert simulator.calls == Counter(f"prompt {index}" for index in range(ALL))


def test_a_pilot_that_fails_altogether_still_waits_at_the_gate(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    texts = [f"{number} [simulate: status=400]" for number in range(10)]
    batch = batch_of(provider, texts, batch_size=2, pilot=Pilot(rows=3))
    report = run_slice(batch.pk)
    assert report.pause_reason.startswith("pilot of 3 prompts done: 3 failed")
    assert simulator.calls.total() == 3


@pytest.mark.django_db(transaction=True)
def test_a_gate_that_opens_by_itself_is_passed_once_by_four_runners(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.05")
    pilot = Pilot(rows=ROWS, continue_when=Rules(max_failed=0))
    batch = batch_of(provider, ALL, pilot=pilot, batch_size=8, parallelism=RUNNERS)
    run_with(RUNNERS, batch)
    # The last runner of the pilot opens the gate; others may have found it closed and left.
    run_with(RUNNERS, batch)
    check_batch(batch)
    assert simulator.calls == Counter(f"prompt {index}" for index in range(ALL))


@pytest.mark.django_db(transaction=True)
def test_a_pilot_by_a_column_runs_its_rows_once_and_then_the_rest_once(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    kinds = ["rare" if number % 30 == 7 else "usual" for number in range(ALL)]
    table = "text,kind\n" + "".join(f"p{n},{kind}\n" for n, kind in enumerate(kinds))
    options = {"batch_size": 8, "parallelism": RUNNERS, "pilot": Pilot(rows=10, by="kind")}
    batch = created(provider, table, "{{ text }}", **options)
    run_with(RUNNERS, batch)
    sent = [int(text[1:]) for text in simulator.calls]
    assert len(sent) == simulator.calls.total() == 10
    assert sum(kinds[number] == "rare" for number in sent) == 1
    report = pilot_report(batch)
    assert report
    assert report.prompts == 10
    batch_actions.resume_batch(batch)
    run_with(RUNNERS, batch)
    check_batch(batch)
    assert simulator.calls == Counter(f"p{number}" for number in range(ALL))
