"""A project with users of its own passes a suite of its own."""

import subprocess
import sys

from tests.environment import unmeasured
from tests.host.projects import ROOT

OPTIONS = ("-q", "--ds=tests.host.settings", "-p", "no:cacheprovider", "-p", "no:xdist")


def test_the_app_works_with_the_users_of_another_project() -> None:
    command = [sys.executable, "-m", "pytest", *OPTIONS, "tests/host/suite"]
    ended = subprocess.run(
        command, cwd=ROOT, env=unmeasured(), text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-2_000:]
    assert " passed" in ended.stdout
