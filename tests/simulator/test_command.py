"""The simulated provider as a real process."""

import asyncio
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
MANY = 1000

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command; what still runs in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE)


def base_url(process: "subprocess.Popen[str]") -> str:
    """The address in the line that the command prints."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE)[0], "nothing was printed"
    line = process.stdout.readline()
    start, end = "Simulated provider at ", " (Ctrl-C stops)\n"
    assert line.startswith(start), line
    assert line.endswith(end), line
    return line.removeprefix(start).removesuffix(end)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(start: Start, number: signal.Signals) -> None:
    process = start("--port", "0", "--models", "small", "--api-key", "sk-test")
    url = base_url(process)
    assert url.startswith("http://127.0.0.1:")
    with httpx.Client(
        base_url=url, headers={"authorization": "Bearer sk-test"}, trust_env=False
    ) as client:
        assert [model["id"] for model in client.get("/models").json()["data"]] == ["small"]
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--latency", "soon"), "latency: 'soon' is not a latency"),
        (("--error-rate", "500=2"), "error_rate: '500=2'"),
        (("--port", "99999"), "port: '99999' is not a port"),
        (("--port", "http"), "port: 'http' is not a port"),
        (("--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1:0: Cannot assign"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    start: Start, options: tuple[str, ...], complaint: str
) -> None:
    process = start(*options)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (2, "")
    assert complaint in errors
    assert len(errors.splitlines()) == 1


def test_manage_py_starts_the_same_command() -> None:
    with pytest.raises(CommandError, match="port: 'http' is not a port") as refused:
        call_command("simulate_provider", "--port", "http")
    assert refused.value.returncode == 2


def test_an_unknown_option_is_a_usage_error(start: Start) -> None:
    process = start("--latencey", "1")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "unrecognized arguments: --latencey" in errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_clear_line(start: Start) -> None:
    port = base_url(start("--port", "0")).removesuffix("/v1").rsplit(":", 1)[1]
    second = start("--port", port)
    output, errors = second.communicate(timeout=PATIENCE)
    assert (second.returncode, output) == (2, "")
    assert errors == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_the_help_explains_the_knobs_and_the_directives(start: Start) -> None:
    process = start("--help")
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    for words in ("--latency", "lognormal:", "[simulate: status=500 times=2]", "examples:"):
        assert words in output


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Lets this process open a connection for each of many calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MANY
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"the system lets a process open only {hard} files")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
async def test_a_thousand_calls_are_in_flight_at_once(start: Start) -> None:
    process = start("--port", "0", "--hang-rate", "1")
    url = await asyncio.to_thread(base_url, process)
    body = {"model": "small", "messages": [{"role": "user", "content": "x"}]}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(PATIENCE):
        calls = [
            asyncio.ensure_future(session.post(f"{url}/chat/completions", json=body))
            for _ in range(MANY)
        ]
        await until_in_flight(session, url, MANY)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until_in_flight(session, url, 0)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, PATIENCE) == 0


async def until_in_flight(session: aiohttp.ClientSession, url: str, count: int) -> None:
    while True:
        async with session.get(url.removesuffix("/v1") + "/_simulator/stats") as response:
            stats = await response.json()
        if stats["in_flight"] == count:
            return
        await asyncio.sleep(0.05)
