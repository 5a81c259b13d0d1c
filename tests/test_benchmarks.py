"""The benchmarks say what they are, and what they need, where only requirements/base.txt is."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contenders import Sample
from benchmarks.peer_environments import PeerNotInstalled
from benchmarks.peer_environments import run as run_installer
from benchmarks.peers import BARE, Contender, costs
from benchmarks.tools import as_table, run_process
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


@pytest.mark.parametrize(
    ("name", "missing"),
    [("api", "openai"), ("schedules", "matplotlib"), ("peers", "matplotlib")],
)
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


def test_the_peak_memory_of_a_process_is_not_that_of_its_parent(tmp_path: Path) -> None:
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = run_process([sys.executable, "-c", "print('done')"], tmp_path)
    assert cost.stdout == "done\n"
    assert 0 < cost.peak_mib < ours
    assert cost.cpu_s > 0


def test_a_client_is_compared_with_bare_aiohttp_of_the_same_round() -> None:
    def measured(*cpu_us: float) -> list[Sample]:
        return [Sample(cpu, peak_mib=90.0) for cpu in cpu_us]

    bare = Contender(BARE, lambda: Sample(0, 0))
    ours = Contender("process_batch", lambda: Sample(0, 0), times_bare=2.6)
    rows = list(costs({bare: measured(100, 200, 50), ours: measured(250, 600, 100)}))
    [ratio] = [row for row in rows if row.name == "process_batch: CPU by bare"]
    assert (ratio.value, ratio.spread, ratio.holds) == (2.5, (2.0, 3.0), True)
    assert "2.500 x (2.00 to 3.00)   (bar 2.6: holds)" in as_table("Peers", rows)


def test_packages_that_cannot_be_installed_are_told_with_the_reason() -> None:
    with pytest.raises(PeerNotInstalled, match="no such index"):
        run_installer(sys.executable, "-c", "import sys; sys.exit('first\\nno such index')")
