"""The benchmarks say what they are, and what they need, where only requirements/base.txt is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.stack import ROOT


@pytest.fixture
def base_only(tmp_path: Path) -> dict[str, str]:
    """An environment in which what the benchmarks need beyond requirements/base.txt is missing."""
    for name in ("openai", "matplotlib"):
        missing = f'raise ModuleNotFoundError(name="{name}")'
        (tmp_path / f"{name}.py").write_text(missing)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run(*command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.chaos"])
def test_help_needs_no_more_than_the_app_does(module: str, base_only: dict[str, str]) -> None:
    ended = run(module, "--help", env=base_only)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("name", "missing"), [("api", "openai"), ("schedules", "matplotlib")])
def test_what_is_missing_is_named_with_the_remedy(
    name: str, missing: str, base_only: dict[str, str]
) -> None:
    ended = run("benchmarks", name, env=base_only)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert f"{missing} is not installed: run `make bench`" in ended.stderr


def test_a_measurement_that_there_is_not_is_a_usage_error(base_only: dict[str, str]) -> None:
    ended = run("benchmarks", "nothing", env=base_only)
    assert ended.returncode == 2
    assert "there is no nothing; there is five_prompts, " in ended.stderr
