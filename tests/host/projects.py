"""Projects of other people that the app is added to."""

import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests.environment import unmeasured
from tests.owned_process import OwnedProcess

ROOT = Path(settings.BASE_DIR)

ADDED = """
INSTALLED_APPS += ["batches"]
DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
BATCHES = {"PROVIDER_PRIVATE_HOSTS": ["127.0.0.1"]}
"""
# The URLs of a project that has the API and nothing else.
API_URLS = """
from django.urls import include, path

urlpatterns = [path("v1/", include("batches.api.urls"))]
"""


class HostProject:
    """A project as `django-admin startproject` makes it, with the app among its own.

    The app is the one in `path`; without a path, the one that is installed for this `python`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        more_settings: str = "",
        python: str = sys.executable,
        path: str = str(ROOT),
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self._python = python
        self._env = {**unmeasured(), "PYTHONPATH": path, "PYTHONWARNINGS": "default"}
        self._env.pop("DJANGO_SETTINGS_MODULE", None)
        made = self.run("-m", "django", "startproject", "shop", ".")
        assert made.returncode == 0, made.stdout
        with (folder / "shop" / "settings.py").open("a") as file:
            file.write(ADDED + more_settings)

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py` of this project, and return what it wrote and its status."""
        return self.run("manage.py", *arguments)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run Python in the folder of this project."""
        return subprocess.run(
            [self._python, *arguments],
            cwd=self.folder,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def starts(self, *arguments: str) -> OwnedProcess:
        """Start Python in the folder of this project."""
        return OwnedProcess([self._python, *arguments], cwd=self.folder, env=self._env)

    def succeeds(self, *arguments: str) -> str:
        """Run `manage.py`, which must succeed; return what it wrote."""
        ended = self.manage(*arguments)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def runs_a_batch(self, base_url: str) -> None:
        """Run a file of two prompts against a provider, as the docs say."""
        (self.folder / "prompts.txt").write_text("one\ntwo\n")
        target = ["--base-url", base_url, "--model", "simulated-small"]
        self.succeeds("process_batch", "prompts.txt", *target, "--output", "out.jsonl")
        assert len((self.folder / "out.jsonl").read_text().splitlines()) == 2
