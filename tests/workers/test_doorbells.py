"""The doorbells, as a process that rings has them."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from batches.checks import check_project
from batches.workers import messages
from batches.workers.doorbells import (
    CeleryDoorbell,
    NoDoorbell,
    Task,
    doorbell_named,
)
from tests.configuring import configure


def test_the_setting_names_one_of_three(settings: Settings) -> None:
    configure(settings, DOORBELL="bell")
    with pytest.raises(ImproperlyConfigured, match=r"DOORBELL.*'celery', 'tasks' or 'none'"):
        messages.enqueue(1)


def test_none_rings_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    configure(settings, DOORBELL="none", TASKS_APP="nowhere.app")
    messages.enqueue(1)
    assert isinstance(doorbell_named("none"), NoDoorbell)
    assert caplog.messages == []


def test_a_bell_that_cannot_be_loaded_is_a_warning(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    configure(settings, TASKS_APP="nowhere.app")
    with caplog.at_level(logging.WARNING, "batches"):
        CeleryDoorbell().ring("run_batch", 7)
    assert caplog.messages == [
        "Could not enqueue run_batch 7; the sweeper will: No module named 'nowhere'"
    ]


def test_a_process_may_answer_its_own_bell(settings: Settings) -> None:
    heard: list[tuple[Task, int]] = []

    class Ear:
        def ring(self, task: Task, pk: int) -> None:
            heard.append((task, pk))

    configure(settings, DOORBELL="none")
    with messages.answered_by(Ear()):
        messages.enqueue(1)
        messages.enqueue_delivery(2)
    messages.enqueue(3)
    assert heard == [("run_batch", 1), ("deliver_webhook", 2)]


def test_a_check_names_what_cannot_ring(settings: Settings) -> None:
    assert check_project() == []
    configure(settings, TASKS_APP="nowhere.app")
    [error] = check_project()
    assert (error.id, "No module named 'nowhere'" in error.msg) == ("batches.E005", True)
    configure(settings, DOORBELL="none")
    assert check_project() == []


def test_tasks_without_workers_are_refused(settings: Settings) -> None:
    """The default of Django would run a whole batch within the request that creates it."""
    configure(settings, DOORBELL="tasks")
    [error] = check_project()
    assert "ImmediateBackend has no workers" in error.msg
    assert "manage.py work" in error.msg
