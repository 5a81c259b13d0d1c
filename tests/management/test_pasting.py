"""A command that is shown can be pasted, however this one was started."""

import sys
from pathlib import Path

import pytest

from batches.management.pasting import command_line


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("manage.py", "python manage.py"),
        ("/srv/a b/manage.py", "python '/srv/a b/manage.py'"),
        ("/lib/django/__main__.py", "python -m django"),
        ("/usr/bin/django-admin", "/usr/bin/django-admin"),
    ],
)
def test_it_is_started_as_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, shown: str
) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", [script])
    assert command_line("batches", "show", "it's") == f"{shown} batches show 'it'\"'\"'s'"


@pytest.mark.parametrize(("folder", "shown"), [(".", "venv/bin/python3"), ("venv", "bin/python3")])
def test_a_python_that_the_shell_does_not_find_is_shown_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, shown: str
) -> None:
    (tmp_path / "venv").mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python3"))
    monkeypatch.setattr(sys, "argv", ["manage.py"])
    assert command_line("batches") == f"{shown} manage.py batches"
