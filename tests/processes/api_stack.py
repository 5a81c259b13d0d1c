"""The REST API as clients see it: a real web server, and what works behind it.

Two fixtures in conftest.py give it out, each shared by the tests of a session:

    api_server   a web server over an empty SQLite database; nobody works on batches
    api_stack    the same with a broker, a worker, a sweeper and a simulated provider,
                 on SQLite with Valkey as in the embedded mode

Tests keep out of each other's way by being different users:

    def test_it(api_server: ApiServer) -> None:
        client = api_server.client()             # openai.OpenAI with the token of a new user
        other = api_server.client(max_retries=0)
        token = api_server.token("alice")        # for other clients, with api_server.base_url

    def test_a_batch(api_stack: ApiStack) -> None:
        client = api_stack.server.client()
        api_stack.simulator                      # the provider; its model is MODEL
        api_stack.stack.start_worker("second")   # and all else that tests/processes/stack.py has
        api_stack.stack.wait_until(lambda: ..., "what should happen")
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from simulator import Behaviour, SimulatedProvider
from tests.owned_process import OwnedProcess
from tests.processes.stack import ROOT, Driver, Servers, Stack, stack_on
from tests.server_process import Server

MODEL = "simulated-small"

_numbers = count(1)


class ApiServer(Server):
    """uvicorn in a process of its own, in the environment of an installation."""

    def __init__(self, env: Mapping[str, str], driver: Driver) -> None:
        super().__init__()
        self.env = dict(env)
        self.driver = driver
        self._clients: list[OpenAI] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What the official client wants to know."""
        return f"{self.address}/v1"

    def token(self, username: str | None = None) -> str:
        """A token of this user, or of a new one."""
        token: str = self.driver("token", username=username or f"user{next(_numbers)}")
        return token

    def client(self, username: str | None = None, **options: Any) -> OpenAI:
        """The unmodified official client of this user, or of a new one; closed with the server."""
        client = OpenAI(base_url=self.base_url, api_key=self.token(username), **options)
        self._clients.append(client)
        return client

    def launch(self) -> OwnedProcess:
        return OwnedProcess(
            [
                *(sys.executable, "-m", "uvicorn", "config.asgi:application"),
                *("--host", "127.0.0.1", "--port", str(self.port), "--lifespan", "off"),
                *("--log-level", "warning", "--no-access-log"),
            ],
            env=self.env,
            cwd=ROOT,
        )

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/healthz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _throw_away(self) -> None:
        for client in self._clients:
            client.close()
        super()._throw_away()


@dataclass
class ApiStack:
    """A web server with a worker, a sweeper and a simulated provider behind it."""

    server: ApiServer
    stack: Stack
    simulator: SimulatedProvider


@contextmanager
def serving(env: Mapping[str, str]) -> Iterator[ApiServer]:
    """A web server for the installation with this environment, which is migrated."""
    driver = Driver(env)
    try:
        with ApiServer(env, driver) as server:
            yield server
    finally:
        driver.close()


@contextmanager
def api_stack_on(
    shared: Servers, folder: Path, behaviour: Behaviour | None = None, **env: str
) -> Iterator[ApiStack]:
    """All that runs batches, on these servers; `env` are more environment variables."""
    with (
        SimulatedProvider(behaviour) as simulator,
        stack_on(shared, simulator, folder, **env) as stack,
        ApiServer(stack.env, stack.driver) as server,
    ):
        models = [MODEL, "simulated-large"]
        stack.driver("provider", name="simulated", base_url=simulator.base_url, model_names=models)
        stack.start_worker("worker")
        stack.start_sweeper()
        yield ApiStack(server, stack, simulator)
