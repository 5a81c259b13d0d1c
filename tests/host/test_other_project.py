"""A project with users of its own passes a suite of its own, in both themes of the admin."""

import subprocess
import sys

import pytest

from tests.environment import unmeasured
from tests.host.projects import ROOT

OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")


@pytest.mark.parametrize("settings", ["settings", "plain"])
def test_the_app_works_in_another_project(settings: str) -> None:
    command = [sys.executable, "-m", "pytest", *OPTIONS, f"--ds=tests.host.{settings}"]
    ended = subprocess.run(
        [*command, "tests/host/suite"],
        cwd=ROOT,
        env=unmeasured(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-2_000:]
    assert " passed" in ended.stdout
