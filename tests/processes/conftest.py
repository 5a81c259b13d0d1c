"""Real processes: the command line as a user starts it, with a data folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from simulator import SimulatedProvider
from tests.command_line import MANAGE, Commands, Finished
from tests.processes.api_stack import ApiServer, ApiStack, api_stack_on, serving
from tests.processes.browser import WIDE, Visitor, browser
from tests.processes.stack import (
    DOORBELLS,
    DatabaseKind,
    Servers,
    Stack,
    migrated_folder,
    servers,
    stack_on,
)
from tests.servers import redis_binary, run_quietly, valkey_binary
from tests.waiting import PATIENCE_S
from tests.warm_python import start_python

BROWSER_PATIENCE_MS = PATIENCE_S * 1000

PASSWORD = "a long pass phrase"


class CommandLine(Commands):
    """Runs `manage.py` in processes of its own, over one data folder."""

    def __init__(self, folder: Path, simulator: SimulatedProvider) -> None:
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(folder / "var"),
            "PYTHONFAULTHANDLER": "1",
        }
        super().__init__(folder, simulator, env)

    def lease_shortly(self) -> None:
        """Let what a command leaves behind, or holds while it is frozen, be free 2 seconds later.

        A run that is neither could lose its leases on a busy machine, and repeat calls.
        """
        self.env["LEASE_SECONDS"] = "2"

    def start(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, within: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start a command; `within` is what it is an argument of."""
        return start_python(
            [*within, sys.executable, str(MANAGE), *arguments],
            env=self.env,
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, stdin: str | None = None) -> Finished:
        process = self.start(*arguments, stdin=subprocess.PIPE)
        return self.finish(process, stdin=stdin)

    def finish(self, process: subprocess.Popen[str], stdin: str | None = None) -> Finished:
        """Wait for the end of a process."""
        try:
            stdout, stderr = process.communicate(input=stdin, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            # It tells where it hangs, thanks to PYTHONFAULTHANDLER.
            process.send_signal(signal.SIGABRT)
            pytest.fail("it hangs: {}\n{}".format(*process.communicate()))
        finally:
            process.kill()
        return Finished(process.returncode, stdout, stderr)

    def interrupt(self, process: subprocess.Popen[str], number: int = signal.SIGINT) -> Finished:
        process.send_signal(number)
        return self.finish(process)

    def stop(self, process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
        """Send a signal to a run with calls in flight; return when it has said that it stops."""
        process.send_signal(number)
        assert process.stderr
        assert any(line.startswith("Stopping") for line in process.stderr), "it ended before"


@pytest.fixture
def cli(tmp_path: Path, simulator: SimulatedProvider) -> CommandLine:
    shutil.copytree(migrated_folder(), tmp_path / "var")
    return CommandLine(tmp_path, simulator)


# A real Redis beside PostgreSQL; beside SQLite the Valkey that the embedded mode brings.
STACKS: dict[str, DatabaseKind] = {"postgres+redis": "postgres", "sqlite+valkey": "sqlite"}


@pytest.fixture(scope="session")
def postgres_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers("postgres", tmp_path_factory.mktemp("postgres"), redis_binary()) as shared:
        yield shared


@pytest.fixture(scope="session")
def sqlite_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers("sqlite", tmp_path_factory.mktemp("sqlite"), valkey_binary()) as shared:
        yield shared


@pytest.fixture(params=STACKS)
def stack(
    request: pytest.FixtureRequest, simulator: SimulatedProvider, tmp_path: Path
) -> Iterator[Stack]:
    """A whole installation, on PostgreSQL with Redis and as the embedded mode has it."""
    shared = request.getfixturevalue(f"{STACKS[request.param]}_servers")
    with stack_on(shared, simulator, tmp_path) as stack:
        yield stack
    stack.show_output()


@pytest.fixture
def postgres_stack(
    postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> Iterator[Stack]:
    """A whole installation on PostgreSQL with Redis."""
    with stack_on(postgres_servers, simulator, tmp_path) as stack:
        yield stack
    stack.show_output()


@pytest.fixture(params=DOORBELLS)
def rung_stack(
    request: pytest.FixtureRequest,
    postgres_servers: Servers,
    simulator: SimulatedProvider,
    tmp_path: Path,
) -> Iterator[Stack]:
    """A whole installation on PostgreSQL, with each of the doorbells."""
    with stack_on(postgres_servers, simulator, tmp_path, DOORBELL=request.param) as stack:
        yield stack
    stack.show_output()


@pytest.fixture
def library_stack(
    postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> Iterator[Stack]:
    """An installation in a project with rows of its own, on PostgreSQL with Redis."""
    settings = "tests.library.settings"
    with stack_on(postgres_servers, simulator, tmp_path, DJANGO_SETTINGS_MODULE=settings) as stack:
        run_quietly(*(sys.executable, str(MANAGE)), "migrate", "library", "-v0", env=stack.env)
        yield stack
    stack.show_output()


@contextmanager
def serving_empty(folder: Path) -> Iterator[ApiServer]:
    """A web server over an empty database; nobody works on batches."""
    shutil.copytree(migrated_folder(), folder)
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(folder),
        "MAX_FILE_BYTES": str(4 * 1024 * 1024),
    }
    with serving(env) as server:
        yield server
        print(server.process.end_of_output)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The REST API over an empty database; see tests/processes/api_stack.py."""
    with serving_empty(tmp_path_factory.mktemp("api") / "var") as server:
        yield server


@pytest.fixture(scope="session")
def api_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStack]:
    """The REST API and all that runs batches; see tests/processes/api_stack.py."""
    folder = tmp_path_factory.mktemp("api-stack")
    # A broker of its own: its worker lives on, and would take the messages of other tests.
    with servers("sqlite", folder / "servers", valkey_binary()) as shared:
        (folder / "run").mkdir()
        with api_stack_on(shared, folder / "run") as stack:
            yield stack
            print(stack.server.process.end_of_output)
            stack.stack.show_output()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    # What is expected of a page is waited for as long as an action is; it would be 5 seconds.
    expect.set_options(timeout=BROWSER_PATIENCE_MS)
    with browser() as running:
        yield running


def make_staff(server: ApiServer) -> str:
    """The name of somebody who may do everything there."""
    server.driver("superuser", username="ada", password=PASSWORD)
    return "ada"


@contextmanager
def visiting(chrome: Browser, address: str) -> Iterator[Visitor]:
    """A visitor who has not logged in; nothing may go wrong in the browser meanwhile."""
    with chrome.new_context(viewport=WIDE, accept_downloads=True) as context:  # type: ignore[arg-type]  # a dict is one
        context.set_default_timeout(BROWSER_PATIENCE_MS)
        visitor = Visitor(context.new_page(), address)
        yield visitor
        assert visitor.complaints == []


@contextmanager
def visiting_as(chrome: Browser, server: ApiServer, name: str) -> Iterator[Visitor]:
    """A visitor who has logged in before: the form is slow, on purpose."""
    cookie = server.driver("session_cookie", username=name)
    with visiting(chrome, server.address) as visitor:
        visitor.page.context.add_cookies(
            [{"name": cookie["name"], "value": cookie["value"], "url": server.address}]
        )
        yield visitor


@contextmanager
def serving_staff(folder: Path) -> Iterator[ApiServer]:
    """Serve an empty database in which only somebody who may do everything is."""
    with serving_empty(folder) as server:
        make_staff(server)
        yield server


@pytest.fixture(scope="module")
def still_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Nobody works on its batches, so that what is stored stays as it is."""
    with serving_staff(tmp_path_factory.mktemp("still") / "var") as server:
        yield server


@pytest.fixture
def reader(still_server: ApiServer, chrome: Browser) -> Iterator[Visitor]:
    with visiting_as(chrome, still_server, "ada") as visitor:
        yield visitor


@pytest.fixture(scope="session")
def staff(api_stack: ApiStack) -> str:
    return make_staff(api_stack.server)


@pytest.fixture
def visitor(api_stack: ApiStack, staff: str, chrome: Browser) -> Iterator[Visitor]:
    with visiting_as(chrome, api_stack.server, staff) as visitor:
        yield visitor
