"""Serve the simulated provider: the application, and a server in its own thread."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Self

from aiohttp import web

from simulator import control
from simulator.behaviour import Behaviour
from simulator.endpoints import ENDPOINTS, serve_call
from simulator.state import Hold, Simulator

BACKLOG = 2048
LARGEST_REQUEST = 256 * 2**20
START_SECONDS = 30.0
STOP_SECONDS = 30.0

# Time that handlers get when the server stops. Not 0: aiohttp treats 0 as no limit.
_GRACE_SECONDS = 0.05


def create_app(behaviour: Behaviour) -> web.Application:
    """Return the provider as an application."""
    return _app(Simulator(behaviour))


def _app(simulator: Simulator) -> web.Application:
    app = web.Application(client_max_size=LARGEST_REQUEST)
    for path, endpoint in ENDPOINTS.items():
        app.router.add_post(path, partial(serve_call, simulator, endpoint))
    app.router.add_get("/v1/models", partial(control.list_models, simulator))
    app.router.add_get("/_simulator/calls", partial(control.show_calls, simulator))
    app.router.add_get("/_simulator/stats", partial(control.show_stats, simulator))
    app.router.add_get("/_simulator/behaviour", partial(control.show_behaviour, simulator))
    app.router.add_post("/_simulator/behaviour", partial(control.change_behaviour, simulator))
    app.router.add_post("/_simulator/reset", partial(control.reset, simulator))
    app.router.add_route("*", "/{path:.*}", control.unknown_url)
    return app


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application inside the block, and yield its base URL. Raise OSError."""
    runner = web.AppRunner(
        app,
        access_log=None,
        # A client that disconnects ends its call: otherwise hanging calls would pile up.
        handler_cancellation=True,
        shutdown_timeout=_GRACE_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield _base_url(runner.addresses[0])
    finally:
        await runner.cleanup()


def _base_url(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class SimulatedProvider:
    """A provider in its own thread, for the duration of a `with` block.

    The figures are snapshots of the calls since the start or the last `reset()`.
    """

    def __init__(
        self, behaviour: Behaviour | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._simulator = Simulator(behaviour or Behaviour())
        self._address = host, port
        self._started: Future[str] = Future()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="simulated-provider", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening and end every call, like a provider that goes down. May be repeated."""
        self._call_soon(self._stop.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError("the simulated provider does not stop")

    @contextmanager
    def holding(self, text: str = "", *, after: int = 0) -> Iterator[None]:
        """Hold the answers to prompts with this text until the block ends, after the next `after`
        of them. The calls are counted and stay in flight; refusals are not held.
        """
        hold = Hold(text, after)
        self._simulator.holds.append(hold)
        try:
            yield
        finally:
            self._simulator.holds.remove(hold)
            self._call_soon(hold.released.set)

    @property
    def base_url(self) -> str:
        """Return the base URL: http://127.0.0.1:PORT/v1."""
        return self._started.result(START_SECONDS)

    @property
    def behaviour(self) -> Behaviour:
        """Return the options. Assign new ones to change them for calls that arrive later."""
        return self._simulator.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._simulator.behaviour = behaviour

    @property
    def calls(self) -> Counter[str]:
        """Return the number of calls by prompt text, counted on arrival."""
        return self._simulator.ledger.calls.copy()

    @property
    def by_model(self) -> Counter[str]:
        """Return the number of calls by model, counted on arrival."""
        return self._simulator.ledger.by_model.copy()

    @property
    def tokens(self) -> int:
        """Return the tokens of all answered calls. They are counted while tokens have a limit."""
        return self._simulator.ledger.tokens

    @property
    def in_flight(self) -> int:
        """Return the number of requests that are being handled now."""
        return self._simulator.ledger.in_flight

    @property
    def in_flight_peak(self) -> int:
        """Return the largest number of requests that were handled at once."""
        return self._simulator.ledger.in_flight_peak

    @property
    def by_status(self) -> Counter[str]:
        """Return the number of requests by status, or `disconnected` or `abandoned`."""
        return self._simulator.ledger.by_status.copy()

    def reset(self) -> None:
        """Forget the calls and keep the options; the scripts of prompts start again."""
        self._simulator.reset()

    def _call_soon(self, call: Callable[[], None]) -> None:
        # If the loop is closed already, there is nothing left to stop or to release.
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with listening(_app(self._simulator), *self._address) as base_url:
            self._started.set_result(base_url)
            await self._stop.wait()
