"""docs/django.md is followed word by word, with the built wheel in a new environment."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.environment import unmeasured
from tests.host.projects import ROOT
from tests.owned_process import OwnedProcess
from tests.processes.doc_pages import blocks_of
from tests.processes.test_wheel import environment_with, run, wheel
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

__all__ = ["wheel"]

LIBRARY = ROOT / "examples" / "library"
INSTALL, PREPARE, PROVIDER, SERVERS, ASK = blocks_of("django.md", "sh")
SETTINGS, URLS, CELERY, ENRICH, CLIENT = blocks_of("django.md", "python")
SHOWN = {
    "library/settings.py": SETTINGS,
    "library/urls.py": URLS,
    "library/celery.py": CELERY,
    "books/management/commands/summarise.py": ENRICH,
}

# Packages are downloaded, and unpacked on a busy machine.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_page_shows_is_in_the_example(name: str) -> None:
    assert SHOWN[name] in (LIBRARY / name).read_text()


def test_a_type_checker_sees_the_types_of_the_app(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    env = {**unmeasured(), "PYTHONPATH": f"{ROOT}:{folder}"}
    command = [sys.executable, "-m", "mypy", "--no-incremental"]

    def said() -> str:
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        ).stdout

    assert "Success: no issues found" in said()
    (folder / "wrong.py").write_text("from batches.rows import enrich\n\nenrich(1, template=2)\n")
    assert 'Argument "template" to "enrich" has incompatible type "int"' in said()


class Shop:
    """The example in a folder of its own, with an environment of its own."""

    def __init__(self, folder: Path, python: str, broker: str) -> None:
        self.folder = folder
        self._env = {
            **unmeasured(),
            "BROKER": broker,
            "PATH": f"{Path(python).parent}:/usr/bin:/bin",
            "PYTHONPATH": "",
        }
        self._env.pop("DJANGO_SETTINGS_MODULE", None)
        self._ports = {"8900": str(free_port()), "8001": str(free_port())}

    def meant(self, text: str) -> str:
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text

    def types(self, script: str) -> str:
        """Run a script of the page, which must succeed; return what it printed."""
        ended = subprocess.run(
            ["/bin/sh", "-ec", self.meant(script)],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def starts(self, command: str) -> OwnedProcess:
        """Start a command of the page that goes on."""
        words = ["/bin/sh", "-c", f"exec {self.meant(command)}"]
        return OwnedProcess(words, env=self._env, cwd=self.folder)

    def books(self) -> list[tuple[str, str]]:
        with sqlite3.connect(self.folder / "db.sqlite3") as database:
            return list(database.execute("SELECT summary, topic FROM books_book"))


@pytest.fixture
def shop(wheel: Path, tmp_path: Path) -> Iterator[Shop]:
    extras = INSTALL.partition("[")[2].partition("]")[0]
    python = environment_with(wheel, tmp_path / "venv", f"[{extras}]")
    run(python, "-m", "pip", "install", "--quiet", "openai")
    folder = tmp_path / "library"
    shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    with RedisServer() as redis:
        yield Shop(folder, python, redis.url)


def test_the_page_adds_the_app_to_a_project_that_exists(shop: Shop) -> None:
    shop.types("python manage.py makemigrations --check --dry-run")
    assert "no issues" in shop.types(PREPARE)
    assert "batches." not in shop.types("python manage.py check --deploy")
    shop.types(PROVIDER)
    with ExitStack() as stack:
        simulator, worker, server = (
            stack.enter_context(shop.starts(command)) for command in SERVERS.splitlines()
        )
        wait_until(lambda: "Simulated provider at" in simulator.output, "the provider")
        wait_until(lambda: " ready." in worker.output, "the worker")
        wait_until(lambda: "Starting development server" in server.output, "the server")
        assert "1 books" in shop.types(ASK)
        wait_until(lambda: all(all(book) for book in shop.books()), "a summary")
        assert "nothing to do" in shop.types("python manage.py summarise")
        # The reference page of the API, with its script.
        page = httpx.get(shop.meant("http://127.0.0.1:8001/tools/v1/docs"))
        assert "swagger" in page.text
        assert page.status_code == 200
        (shop.folder / "client.py").write_text(shop.meant(CLIENT))
        assert shop.types("python client.py").splitlines()[-1] == "1"
