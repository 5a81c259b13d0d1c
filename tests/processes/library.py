"""The example project of docs/django.md, in a folder and an environment of its own."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.environment import unmeasured
from tests.host.projects import ROOT
from tests.owned_process import OwnedProcess
from tests.processes.doc_pages import blocks_of
from tests.servers import free_port

LIBRARY = ROOT / "examples" / "library"
INSTALL, PREPARE, PROVIDER, SERVERS, ASK = blocks_of("django.md", "sh")
SETTINGS, URLS, CELERY, ENRICH, CLIENT = blocks_of("django.md", "python")


def copy_library(folder: Path) -> Path:
    """Copy the example as it is in the repository."""
    shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    return folder


class Library:
    """The bookshop; `types` and `starts` are what the page lets a person type."""

    def __init__(self, folder: Path, python: str, broker: str) -> None:
        self.folder = copy_library(folder)
        self._env = {
            **unmeasured(),
            "BROKER": broker,
            "PATH": f"{Path(python).parent}:/usr/bin:/bin",
            "PYTHONPATH": "",
        }
        self._env.pop("DJANGO_SETTINGS_MODULE", None)
        self._ports = {"8900": str(free_port()), "8001": str(free_port())}

    def meant(self, text: str) -> str:
        """Return a text of the page with the ports that are free here."""
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
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            return list(database.execute("SELECT summary, topic FROM books_book"))
