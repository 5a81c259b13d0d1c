"""docs/workers.md is followed as it stands: each way to run batches."""

import os
import sys
from pathlib import Path

from simulator import SimulatedProvider
from tests.command_line import MANAGE, ROOT
from tests.owned_process import OwnedProcess
from tests.processes.doc_pages import blocks_of
from tests.processes.stack import Driver, Servers, Stack, stack_on
from tests.servers import run_quietly
from tests.waiting import wait_until

WORK, UNTIL_IDLE, CELERY, TASKS = blocks_of("workers.md", "sh")
ROUTES, TASKS_SETTINGS = blocks_of("workers.md", "python")
ALL_SETTINGS = "from config.settings import *\n"


def started(stack: Stack, script: str, **env: str) -> OwnedProcess:
    """Start a script of the page, whose last command goes on."""
    text = script.replace("python manage.py", f"{sys.executable} {MANAGE}")
    text = text.replace("celery -A config", f"{sys.executable} -m celery -A project")
    process = OwnedProcess(["/bin/sh", "-ec", text], env={**stack.env, **env}, cwd=ROOT)
    stack.processes.append(process)
    return process


def test_without_a_doorbell(
    sqlite_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    with stack_on(sqlite_servers, simulator, tmp_path, DOORBELL="none") as stack:
        batch = stack.create_batch(20)
        ended = started(stack, UNTIL_IDLE)
        assert ended.wait() == 0, ended.output
        assert "Idle: there is nothing left to run." in ended.output
        stack.check(batch, most_calls=20)
        started(stack, WORK)
        stack.wait_completed(stack.create_batch(20))


def test_celery(postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(f"from config.celery import app\n{ROUTES}")
    (tmp_path / "project_settings.py").write_text(
        f"{ALL_SETTINGS}BATCHES['TASKS_APP'] = 'project.app'\n"
    )
    env = project(tmp_path)
    with stack_on(postgres_servers, simulator, tmp_path, **env) as stack:
        # It has no messages of batches.
        stack.start_celery("other", app="project")
        started(stack, CELERY)
        stack.wait_completed(stack.create_batch(20))
        assert len(stack.driver("workers")) == 1


def test_tasks(postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path) -> None:
    (tmp_path / "project_settings.py").write_text(ALL_SETTINGS + TASKS_SETTINGS)
    with stack_on(postgres_servers, simulator, tmp_path) as stack:
        env = {**project(tmp_path), "DOORBELL": "tasks"}
        worker = started(stack, TASKS, **env)
        # Before it has made the tables of the tasks, a bell would be lost.
        wait_until(lambda: "Starting worker" in worker.output, "the worker")
        driver = Driver({**stack.env, **env})
        try:
            texts = [f"prompt {number}" for number in range(20)]
            run_quietly(sys.executable, str(MANAGE), "check", env={**stack.env, **env})
            batch = driver("create", base_url=simulator.base_url, texts=texts, options={})
        finally:
            driver.close()
        stack.wait_completed(batch)


def project(folder: Path) -> dict[str, str]:
    """The environment of a project with its modules in this folder."""
    path = ":".join(filter(None, [str(ROOT), str(folder), os.environ.get("PYTHONPATH")]))
    return {"DJANGO_SETTINGS_MODULE": "project_settings", "PYTHONPATH": path}
