"""docs/django.md shows the example project, whose types are checked; test_wheel.py follows it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import unmeasured
from tests.host.projects import ROOT
from tests.processes.library import CELERY, ENRICH, LIBRARY, SETTINGS, URLS, copy_library

SHOWN = {
    "library/settings.py": SETTINGS,
    "library/urls.py": URLS,
    "library/celery.py": CELERY,
    "books/management/commands/summarise.py": ENRICH,
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_page_shows_is_in_the_example(name: str) -> None:
    assert SHOWN[name] in (LIBRARY / name).read_text()


# It reads all of the app and of Django, twice, on a busy machine.
@pytest.mark.timeout(900)
def test_a_type_checker_sees_the_types_of_the_app(tmp_path: Path) -> None:
    folder = copy_library(tmp_path / "library")
    env = {**unmeasured(), "PYTHONPATH": f"{ROOT}:{folder}"}
    command = [sys.executable, "-m", "mypy", "--no-incremental"]

    def said() -> str:
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        ).stdout

    assert "Success: no issues found" in said()
    (folder / "wrong.py").write_text("from batches.rows import enrich\n\nenrich(1, template=2)\n")
    assert 'Argument "template" to "enrich" has incompatible type "int"' in said()
