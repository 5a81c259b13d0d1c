"""Projects of other people that the app is added to."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from tests.environment import unmeasured

ROOT = Path(settings.BASE_DIR)


class HostProject:
    """A project as `django-admin startproject` makes it, with the app among its own."""

    def __init__(self, folder: Path, *, more_settings: str = "") -> None:
        folder.mkdir()
        call_command("startproject", "shop", str(folder))
        self.folder = folder
        with (folder / "shop" / "settings.py").open("a") as file:
            file.write(f'\nINSTALLED_APPS += ["batches"]\n{more_settings}')

    def manage(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py` of this project, and return what it wrote and its status."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env = {**unmeasured(), "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop.settings"}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env={**env, **variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
