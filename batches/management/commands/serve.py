"""Run web server, workers, sweeper and broker on one machine, and restart them if they die.

They are the programs of the project whose `manage.py` it is: its Celery app, or `manage.py work`
if it has none, and the `asgi` module beside its URLs.
"""

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import NoReverseMatch, reverse

from batches.actions import providers as provider_actions
from batches.conf import conf
from batches.database import connection
from batches.extras import require
from batches.management.bulk.usage import UsageCommand, UsageError, whole_number
from batches.management.database import check_database
from batches.management.embedded import message_broker
from batches.management.embedded.child import Program
from batches.management.embedded.first_login import NAME as LOGIN
from batches.management.embedded.first_login import make_first_login
from batches.management.embedded.supervisor import Supervisor

BROKER, PROVIDER, WORKERS, WEB = range(4)

HIGHEST_PORT = 65535
SIMULATOR_PORT = 8900
SIMULATED_MODEL = "simulated-small"
MOST_WORKERS = 1000
THREADS = 32
# In a container or on a private machine, running as root is normal: hide Celery's warning.
NOT_OF_ROOT = "ignore:You're running the worker with superuser privileges"

# Lines that tell a user nothing: kernel settings that the broker asks for and that matter only to
# large servers, its goodbye, and the address of the simulated provider, which the welcome has.
NOISE = re.compile(
    r"# WARNING.*(?:overcommit|Transparent Huge|TCP backlog)"
    r"|scheduling shutdown|Valkey is now ready to exit|^Simulated provider at "
)

# Time for a worker to store received replies after GRACE_SECONDS.
SECONDS_TO_FLUSH = 5
# Time for the guard to kill the processes of an earlier `serve` that was killed.
LOCK_PATIENCE_S = 3.0

EPILOG = """\
With CELERY_BROKER_URL and DATABASE_URL the same programs use your own broker and database. With
DOORBELL=none the workers are `manage.py work`, which need no broker and no sweeper.

exit status: 0 after Ctrl-C or SIGTERM if every process ended in time, 1 if a process had to be
killed, 2 if a port or the data folder is in use, 130 or 143 after a second signal.
"""


class Command(UsageCommand):
    help = "Run web server, workers, sweeper and broker on this machine; restart them if they die."
    epilog = EPILOG

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="address of the web server (default 127.0.0.1)")
        add(
            "--port",
            type=whole_number(0, HIGHEST_PORT),
            default=8000,
            help="port of the web server, or 0 for any free port (default 8000)",
        )
        add(
            "--workers",
            type=whole_number(1, MOST_WORKERS),
            default=1,
            metavar="N",
            help="number of worker processes (default 1)",
        )
        add("--simulate", action="store_true", help="also run a simulated provider, for tests")
        add(
            "--simulator-port",
            type=whole_number(1, HIGHEST_PORT),
            default=SIMULATOR_PORT,
            metavar="PORT",
            help=f"port of the simulated provider (default {SIMULATOR_PORT})",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        require("serve", "serve")
        with ExitStack() as stack:
            lock = stack.enter_context(data_folder_locked(data_folder()))
            listener = stack.enter_context(listening(options["host"], options["port"]))
            say_first(address(listener))
            programs = [*broker(), *workers(options["workers"]), web(listener)]
            check_database()
            if options["simulate"]:
                programs += simulator(options)
            say = partial(print_line, max(len(program.name) for program in programs))
            supervisor = Supervisor(
                # Child processes inherit the lock: the folder stays locked if a child outlives us.
                [program.with_descriptor(lock) for program in programs],
                say=say,
                on_ready=lambda: welcome(say, address(listener), simulated_at(options)),
                on_stop=listener.close,
            )
            status = supervisor.run()
            say("serve", "Stopped.")
        # The checks above opened this connection; it is not used any more.
        connection.close()
        if status:
            sys.exit(status)


def data_folder() -> Path:
    """Return the folder for the lock and the broker. Raise UsageError if there is none."""
    folder = conf().DATA_DIR
    if folder is None:
        raise UsageError('serve needs a folder of its own; set BATCHES = {"DATA_DIR": ...}')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def data_folder_locked(data_dir: Path) -> Iterator[int]:
    """Lock the data folder against a second `serve`; yield the descriptor of the lock."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows, where the rest of this does not run either
    except ImportError as error:
        raise UsageError("serve needs Linux, macOS or another POSIX system") from error
    with (data_dir / "serve.lock").open("a") as file:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UsageError(f"another `serve` runs with DATA_DIR={data_dir}") from None
                time.sleep(0.05)
        yield file.fileno()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open the web server's socket here, so that clients can connect while the server restarts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason}; choose another --port"
        ) from error
    with listener:
        # uvicorn treats the socket as a Unix socket and does not set this; connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


def check_port_free(port: int) -> None:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return
    raise UsageError(f"port {port} of the simulated provider is in use; change --simulator-port")


def environment() -> dict[str, str]:
    """Return the environment of the children, with an absolute DATA_DIR: their folder differs."""
    return {**os.environ, "DATA_DIR": str(data_folder()), "PYTHONUNBUFFERED": "1"}


def program(name: str, *arguments: str, rank: int, **more: Any) -> Program:
    """Describe a Python module or script that runs in the folder of manage.py."""
    command = (sys.executable, *arguments)
    return Program(name, command, rank=rank, env=environment(), cwd=manage_py().parent, **more)


def manage_py() -> Path:
    """Return the script that runs this command."""
    return Path(sys.argv[0]).resolve()


def broker() -> list[Program]:
    """Return the embedded broker; none if the project has another or messages are files."""
    binary = message_broker.valkey_binary()
    url = message_broker.broker_url(data_folder())
    if binary is None or getattr(settings, "CELERY_BROKER_URL", "") != url or not uses_celery():
        return []
    try:
        command = message_broker.broker_command(binary, data_folder())
    except (OSError, message_broker.BrokerFolderNotPrivate) as error:
        raise UsageError(str(error)) from error
    ready = partial(message_broker.broker_answers, data_folder())
    return [Program("broker", command, rank=BROKER, ready=ready)]


def simulator(options: dict[str, Any]) -> list[Program]:
    """Return the simulated provider; store its row, so that batches can use it immediately."""
    port = options["simulator_port"]
    check_port_free(port)
    row = provider_actions.provider_at(simulated_at(options), "", "simulated")
    # Route batches to it by model, also if there are other providers.
    provider_actions.find_by_model(row, SIMULATED_MODEL)
    return [
        program(
            "provider",
            *("-m", "simulator", "--port", str(port)),
            rank=PROVIDER,
            grace_s=5.0,
        )
    ]


def uses_celery() -> bool:
    """Return True if Celery runs the batches, False if `manage.py work` does. Raise UsageError."""
    if conf().DOORBELL == "tasks":
        raise UsageError(
            "serve cannot start the workers of django.tasks; set DOORBELL to 'celery' or 'none'"
        )
    return conf().DOORBELL == "celery"


def workers(count: int) -> list[Program]:
    """Return the workers, and the sweeper that Celery's need."""
    names = [f"worker{number}" for number in range(1, count + 1)]
    if uses_celery():
        return [*map(celery_worker, names), sweeper()]
    return list(map(polling_worker, names))


def celery_worker(name: str) -> Program:
    return worker(
        name,
        *("-W", NOT_OF_ROOT),
        *("-m", "celery", "-q", "-A", conf().TASKS_APP, "worker", "-n", f"{name}@%h"),
        *("--pool", "threads", "--concurrency", str(THREADS)),
        *("--loglevel", log_level(), "--without-gossip", "--without-mingle"),
    )


def polling_worker(name: str) -> Program:
    return worker(name, str(manage_py()), "work", "--threads", str(THREADS))


def worker(name: str, *arguments: str) -> Program:
    grace_s = float(conf().GRACE_SECONDS + SECONDS_TO_FLUSH)
    return program(name, *arguments, rank=WORKERS, grace_s=grace_s)


def log_level() -> str:
    """Return the level of the app's log, which is also the one of Celery."""
    return logging.getLevelName(logging.getLogger("batches").getEffectiveLevel())


def sweeper() -> Program:
    return program("sweeper", str(manage_py()), "sweep", "--loop", rank=WORKERS)


def web(listener: socket.socket) -> Program:
    return program(
        "web",
        *("-m", "uvicorn", f"{asgi_module()}:application", "--fd", str(listener.fileno())),
        *("--lifespan", "off", "--log-level", "warning", "--no-access-log"),
        *("--timeout-graceful-shutdown", "5"),
        rank=WEB,
        pass_fds=(listener.fileno(),),
    )


def asgi_module() -> str:
    """Return the module of the web application, beside the URLs. Raise UsageError."""
    name = f"{settings.ROOT_URLCONF.rpartition('.')[0]}.asgi".lstrip(".")
    if find_spec(name) is None:
        raise UsageError(f"serve needs a module {name} with the application of ASGI")
    return name


def say_first(address: str) -> None:
    """Say at once that the command works: the programs take seconds until they are ready."""
    print(f"Starting Threephase at {address} ...", flush=True)  # noqa: T201 - before any program


def simulated_at(options: dict[str, Any]) -> str:
    """Return the base URL of the simulated provider; "" if there is none."""
    port = options["simulator_port"]
    return f"http://127.0.0.1:{port}/v1" if options["simulate"] else ""


def welcome(say: Callable[[str, str], None], address: str, simulated: str) -> None:
    """Print the address, the login, the token, and how to stop, in one block."""
    # Create the login only now, when the password is sure to be shown: only a hash is stored.
    login = make_first_login() if conf().EMBEDDED else None
    shown_login = "reset a forgotten password with: manage.py changepassword USER"
    shown_token = "make one with: manage.py create_token USER"  # noqa: S105 - how to make one
    if login is not None:
        shown_login = f"{LOGIN}, password {login.password} (shown once)"
        shown_token = f"{login.token} (shown once)"
    if admin := path_of("admin:index"):
        say("serve", f"Admin  {address}{admin}")
        say("serve", f"Login  {shown_login}")
    if api := path_of("batches_api:root"):
        say("serve", f"API    {address}{api.rstrip('/')} (reference: {api}docs)")
        say("serve", f"Token  {shown_token}")
    if simulated:
        say("serve", f"Model  {SIMULATED_MODEL}, simulated at {simulated}")
    say("serve", "Stop   press Ctrl-C")


def path_of(name: str) -> str:
    """Return the path of a URL of the project; "" if the project does not have it."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def print_line(width: int, name: str, line: str) -> None:
    """Print a line of a child's output after the name of the child."""
    if NOISE.search(line):
        return
    # Ignore a broken pipe: the programs keep running without a reader of their output.
    with suppress(BrokenPipeError):
        print(f"{name:<{width}} | {line}", flush=True)  # noqa: T201 - a row of many programs
