"""`manage.py serve` in a project of other people runs the programs of that project."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.host.projects import API_URLS, HostProject
from tests.owned_process import OwnedProcess
from tests.process_table import children_of
from tests.processes.served import CREATE, SIGNS
from tests.servers import free_port
from tests.waiting import wait_until

SERVED = """
INSTALLED_APPS += ["rest_framework", "drf_spectacular"]
MIDDLEWARE = ["batches.api.request_id.request_id", *MIDDLEWARE]
BATCHES |= {"DATA_DIR": BASE_DIR / "data", "SWEEP_SECONDS": 1}
"""
POLLING = 'BATCHES["DOORBELL"] = "none"'
CELERY = """
from batches.management.embedded.message_broker import broker_url
CELERY_BROKER_URL = broker_url(BATCHES["DATA_DIR"])
BATCHES["TASKS_APP"] = "shop.queue.tasks"
"""
TASKS = """
BATCHES["DOORBELL"] = "tasks"
INSTALLED_APPS += ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
"""
QUEUE = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
tasks = Celery("shop")
tasks.config_from_object("django.conf:settings", namespace="CELERY")
tasks.autodiscover_tasks()
"""


def project_with(folder: Path, settings: str) -> HostProject:
    project = HostProject(folder / "project", more_settings=SERVED + settings)
    (project.folder / "shop" / "queue.py").write_text(QUEUE)
    (project.folder / "shop" / "urls.py").write_text(API_URLS.replace("v1/", "tools/v1/"))
    return project


@contextmanager
def serving(project: HostProject) -> Iterator[OwnedProcess]:
    ports = ["--port", str(free_port()), "--simulator-port", str(free_port())]
    with project.starts("manage.py", "serve", "--simulate", *ports) as served:
        wait_until(lambda: "press Ctrl-C" in served.output or not served.running, "the start")
        assert served.running, served.output
        yield served


@pytest.mark.parametrize(
    ("settings", "programs"),
    [
        (POLLING, {"worker": "manage.py work", "web": "shop.asgi"}),
        (
            CELERY,
            {
                "broker": SIGNS["broker"],
                "worker": "-A shop.queue.tasks",
                "sweeper": "manage.py sweep",
                "web": "shop.asgi",
            },
        ),
    ],
    ids=["polling", "celery"],
)
def test_a_batch_is_run_by_the_programs_of_the_project(
    tmp_path: Path, settings: str, programs: dict[str, str]
) -> None:
    project = project_with(tmp_path, settings)
    project.succeeds("migrate")
    with serving(project) as served:
        commands = [child.command for child in children_of(served.popen.pid)]
        # The others are the guard and the simulated provider.
        assert len(commands) == len(programs) + 2, commands
        for sign in programs.values():
            assert any(sign in command for command in commands), (sign, commands)
        assert re.search(r"API +http://127.0.0.1:\d+/tools/v1 ", served.output)
        assert "Admin" not in served.output
        made = project.run("manage.py", "shell", "-v0", "-c", CREATE)
        assert made.returncode == 0, made.stdout
        wait_until(lambda: statuses(project) == ["completed"], "the end of the batch")


def statuses(project: HostProject) -> list[str]:
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        return [status for (status,) in database.execute("SELECT status FROM batches_batch")]


@pytest.mark.parametrize(
    ("settings", "gone", "word"),
    [
        ('BATCHES["DATA_DIR"] = None', "", "DATA_DIR"),
        (TASKS, "", "DOORBELL"),
        (POLLING, "shop/asgi.py", "shop.asgi"),
    ],
)
def test_what_a_project_lacks_is_named(tmp_path: Path, settings: str, gone: str, word: str) -> None:
    project = project_with(tmp_path, settings)
    if gone:
        (project.folder / gone).unlink()
    ended = project.manage("serve", "--port", "0")
    assert ended.returncode == 2, ended.stdout
    assert "Traceback" not in ended.stdout
    assert word in ended.stdout.splitlines()[-1]
