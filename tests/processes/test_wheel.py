"""The wheel holds the app and the simulator, and runs in an empty environment."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.environment import unmeasured
from tests.host.projects import API_URLS, ROOT, HostProject
from tests.owned_process import OwnedProcess
from tests.waiting import wait_until

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HELD = ("batches", "simulator")
READY = "Simulated provider at "

# Packages are downloaded, and unpacked on a busy machine.
pytestmark = pytest.mark.timeout(900)

EVERYTHING = """
INSTALLED_APPS = ["unfold", *INSTALLED_APPS, "rest_framework", "drf_spectacular"]
MIDDLEWARE = ["batches.api.request_id.request_id", *MIDDLEWARE]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
"""
ASK = """
import os, sys
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
django.setup()
from django.test import Client
client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {sys.argv[1]}"})
for path in ("models", "batches", "openapi.json"):
    answer = client.get(f"/v1/{path}")
    assert answer.status_code == 200, answer.content
    assert answer.headers["x-request-id"]
"""


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program, which must succeed; return what it wrote."""
    ended = subprocess.run(
        command, cwd=cwd, env=unmeasured(), text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))
    [built] = folder.iterdir()
    return built


def environment_with(wheel: Path, folder: Path, extras: str = "") -> str:
    """The Python of a new environment in which only the wheel and its needs are installed."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", f"{wheel}{extras}")
    return python


def sources() -> set[str]:
    """The files of the app and of the simulator."""
    return {
        str(path.relative_to(ROOT))
        for name in HELD
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_app_and_the_simulator_alone(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    about = f"threephase-{PROJECT['version']}.dist-info/"
    assert {name for name in names if not name.startswith(about)} == sources()
    kinds = {Path(name).suffix for name in names}
    assert {".py", ".html", ".css", ".js", ".svg", ".typed"} <= kinds
    assert "batches/py.typed" in names
    assert any(name.startswith("batches/migrations/0001") for name in names)
    assert f"{about}licenses/LICENSE" in names


@pytest.fixture
def core(wheel: Path, tmp_path: Path) -> str:
    return environment_with(wheel, tmp_path / "venv")


def test_a_new_project_runs_a_batch_without_any_extra(core: str, tmp_path: Path) -> None:
    project = HostProject(tmp_path / "project", python=core, path="")
    assert "batches.W008" in project.succeeds("check")
    project.succeeds("migrate")
    with OwnedProcess([core, "-m", "simulator", "--port", "0"], cwd=tmp_path) as simulator:
        wait_until(lambda: READY in simulator.output, "the address of the simulator")
        url = simulator.output.partition(READY)[2].partition(" ")[0]
        project.runs_a_batch(url)
    for name in ("config", "tests", "unfold", "rest_framework", "celery", "redis", "pyarrow"):
        assert project.run("-c", f"import {name}").returncode == 1, name
    ended = project.manage("serve")
    assert 'install it: pip install "threephase[serve]"' in ended.stdout


def test_a_new_project_serves_the_api_with_its_extras(wheel: Path, tmp_path: Path) -> None:
    python = environment_with(wheel, tmp_path / "venv", "[all]")
    project = HostProject(tmp_path / "project", python=python, path="", more_settings=EVERYTHING)
    (project.folder / "shop" / "urls.py").write_text(API_URLS)
    assert "no issues" in project.succeeds("check")
    project.succeeds("migrate")
    [token] = re.findall(r"tp_\S+", project.succeeds("create_token", "ann"))
    (project.folder / "ask.py").write_text(ASK)
    asked = project.run("ask.py", token)
    assert asked.returncode == 0, asked.stdout
