"""A project that has only just been made takes the app as it is."""

from pathlib import Path

import pytest

from tests.host.projects import HostProject


@pytest.mark.parametrize("field", ["BigAutoField", "AutoField"])
def test_the_app_asks_for_no_migration(tmp_path: Path, field: str) -> None:
    project = HostProject(
        tmp_path / "project", more_settings=f'DEFAULT_AUTO_FIELD = "django.db.models.{field}"\n'
    )
    ended = project.manage("makemigrations", "--check", "--dry-run")
    assert (ended.returncode, ended.stdout) == (0, "No changes detected\n")
