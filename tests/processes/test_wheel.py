"""The wheel holds the app and the simulator, and runs in new environments and new projects."""

import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from batches.extras import NEEDED, remedy
from tests.host.projects import ROOT, HostProject
from tests.owned_process import OwnedProcess
from tests.processes.admin_session import AdminSession
from tests.processes.installed import Installation, run
from tests.processes.library import ASK, CLIENT, INSTALL, PREPARE, PROVIDER, SERVERS, Library
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HELD = ("batches", "simulator")
READY = "Simulated provider at "
# Django 6.1 says of which kind it is.
SERVES = " development server at "
DJANGO_PAGE = (ROOT / "docs" / "django.md").read_text()
ADMIN = re.compile(r"`(http://\S+/staff/)`")
PROBE = Path(__file__).with_name("extras_probe.py")

# Packages are downloaded, and unpacked on a busy machine.
pytestmark = pytest.mark.timeout(900)

UNFOLD = """
INSTALLED_APPS = ["unfold", *INSTALLED_APPS, "rest_framework", "notes"]
INSTALLED_APPS += ["drf_spectacular", "drf_spectacular_sidecar"]
MIDDLEWARE = ["batches.api.request_id.request_id", *MIDDLEWARE]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
BATCHES["DOORBELL"] = "none"
"""
UNFOLD_URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("llm/v1/", include("batches.api.urls")),
]
"""
NOTES = """
from django.db import models


class Note(models.Model):
    text = models.TextField()
    summary = models.TextField(blank=True)
"""
ADD = """
from django.contrib.auth import get_user_model
from batches.models import Provider
from notes.models import Note
Provider.objects.create(name="simulated", base_url="{url}", is_default=True)
get_user_model().objects.create_superuser("boss", password="only-here")
Note.objects.create(text="A student makes a creature.")
"""
SUMMARISE = """
from batches.rows import enrich
from notes.models import Note
enrich(
    Note.objects.filter(summary=""),
    template="Summarise:\\n\\n{{ row.text }}",
    into="summary",
    model="simulated-small",
)
"""
COUNT_OPEN = "from notes.models import Note; print(Note.objects.filter(summary='').count())"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("all") / "venv", f"{wheel}[all]", "openai")


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


def with_implied(extra: str) -> set[str]:
    """An extra, and those that it asks for."""
    needs = [one for one in map(Requirement, EXTRAS[extra]) if one.name == PROJECT["name"]]
    return {extra}.union(*(with_implied(more) for one in needs for more in one.extras))


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_part_whose_extra_is_missing_names_it(
    extra: str, installed: Installation, tmp_path: Path
) -> None:
    python = installed.only(tmp_path / "venv", f"threephase[{extra}]")
    found = json.loads(run(python, str(PROBE), cwd=tmp_path))
    there = with_implied(extra)
    assert set(found["installed"]) == there & set(NEEDED)
    assert {needed for needed, _ in found["said"]} == {"", *NEEDED} - {"admin"}
    for needed, said in found["said"]:
        if needed in {"", *there}:
            assert "pip install" not in said
            assert not said.startswith(("ImportError", "ModuleNotFoundError")), said
        else:
            assert remedy(needed) in said


@contextmanager
def simulating(python: str, folder: Path) -> Iterator[str]:
    """Run the simulator of the wheel, and yield its base URL."""
    with OwnedProcess([python, "-m", "simulator", "--port", "0"], cwd=folder) as simulator:
        wait_until(lambda: READY in simulator.output, "the address of the simulator")
        yield simulator.output.partition(READY)[2].partition(" ")[0]


def test_a_new_project_runs_a_batch_without_any_extra(
    installed: Installation, tmp_path: Path
) -> None:
    core = installed.only(tmp_path / "venv", "threephase")
    project = HostProject(tmp_path / "project", python=core, path="")
    assert "batches.W008" in project.succeeds("check")
    project.succeeds("migrate")
    with simulating(core, tmp_path) as url:
        project.runs_a_batch(url)
    for name in ("config", "tests", "unfold", "rest_framework", "celery", "redis", "pyarrow"):
        assert project.run("-c", f"import {name}").returncode == 1, name
    ended = project.manage("serve")
    assert 'install it: pip install "threephase[serve]"' in ended.stdout


@pytest.fixture
def themed(installed: Installation, tmp_path: Path) -> HostProject:
    """A new project with the look of unfold, users of Django, and an app of its own."""
    python = installed.only(tmp_path / "venv", "threephase[admin,api]", "openai")
    project = HostProject(tmp_path / "project", python=python, path="", more_settings=UNFOLD)
    (project.folder / "shop" / "urls.py").write_text(UNFOLD_URLS)
    notes = project.folder / "notes"
    notes.mkdir()
    (notes / "__init__.py").touch()
    (notes / "models.py").write_text(NOTES)
    project.succeeds("makemigrations", "notes")
    project.succeeds("makemigrations", "--check", "--dry-run")
    assert "no issues" in project.succeeds("check")
    project.succeeds("migrate")
    return project


def test_a_new_project_with_unfold_runs_batches_of_the_admin_the_api_and_rows(
    themed: HostProject,
) -> None:
    port = str(free_port())
    with simulating(sys.executable, ROOT) as url, ExitStack() as stack:
        themed.succeeds("shell", "-c", ADD.replace("{url}", url))
        [token] = re.findall(r"tp_\S+", themed.succeeds("create_token", "boss"))
        worker, server = (
            stack.enter_context(themed.starts("manage.py", *arguments))
            for arguments in (("work", "--threads", "4"), ("runserver", "--noreload", port))
        )
        wait_until(lambda: SERVES in server.output, "the server")
        themed.succeeds("shell", "-c", SUMMARISE)
        check_admin(f"http://127.0.0.1:{port}/admin/", "boss", "unfold")
        (themed.folder / "token").write_text(token)
        client = CLIENT.replace("8001/tools/v1", f"{port}/llm/v1")
        assert themed.run("-c", client).stdout.splitlines()[-1] == "1"
        wait_until(
            lambda: themed.succeeds("shell", "-c", COUNT_OPEN).splitlines()[-1] == "0", "a summary"
        )
        assert worker.running


def check_admin(address: str, name: str, look: str) -> None:
    """Run a batch in the admin, whose pages have this look, and download its results."""
    with AdminSession(address, name, "only-here") as admin:
        assert any(f"/{look}" in file for file in admin.check_files_of("batches/batch/add/"))
        files = admin.runs_a_batch("Hello?", "Goodbye?", model="simulated-small")
    lines = [json.loads(line) for line in files["jsonl"].splitlines()]
    assert [line["response"]["status_code"] for line in lines] == [200, 200]
    assert len(files["csv"].splitlines()) == 3
    # Without the extra, its link leads to a message.
    assert set(files) == {"jsonl", "csv"}


@pytest.fixture
def library(installed: Installation, tmp_path: Path) -> Iterator[Library]:
    extras = INSTALL.partition("[")[2].partition("]")[0]
    python = installed.only(tmp_path / "venv", f"threephase[{extras}]", "openai")
    with RedisServer() as redis:
        yield Library(tmp_path / "library", python, redis.url)


def test_the_page_adds_the_app_to_a_project_that_exists(library: Library) -> None:
    library.types("python manage.py makemigrations --check --dry-run")
    assert "no issues" in library.types(PREPARE)
    assert "batches." not in library.types("python manage.py check --deploy")
    library.types(PROVIDER)
    with ExitStack() as stack:
        simulator, worker, server = (
            stack.enter_context(library.starts(command)) for command in SERVERS.splitlines()
        )
        wait_until(lambda: READY in simulator.output, "the provider")
        wait_until(lambda: " ready." in worker.output, "the worker")
        wait_until(lambda: SERVES in server.output, "the server")
        assert "1 books" in library.types(ASK)
        wait_until(lambda: all(all(book) for book in library.books()), "a summary")
        assert "nothing to do" in library.types("python manage.py summarise")
        [address] = ADMIN.findall(DJANGO_PAGE)
        check_admin(library.meant(address), "boss@example.org", "batches/plain.css")
        # The reference page of the API, with its script.
        page = httpx.get(library.meant("http://127.0.0.1:8001/tools/v1/docs"))
        assert (page.status_code, "swagger" in page.text) == (200, True)
        (library.folder / "client.py").write_text(library.meant(CLIENT))
        assert library.types("python client.py").splitlines()[-1] == "1"
