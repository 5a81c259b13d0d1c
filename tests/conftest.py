"""What all tests share."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import pytest

from batches.engine.schemas.compiled import compile_schema
from batches.models import Provider
from simulator import SimulatedProvider

# A busy machine is no reason to fail. Each run tries other examples; many at once with
# --hypothesis-profile thorough.
for name, most in {"quick": 40, "thorough": 1000}.items():
    hypothesis.settings.register_profile(
        name,
        max_examples=most,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("quick")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Name the operation of the API in the ID of a test that is made for each of them."""
    operation = getattr(item, "operation_label", None)
    if operation and item.id.params is None:
        item._id = replace(item.id, params=operation)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests with the same ID: of these, pytest-xdist runs only one."""
    twins = [name for name, times in Counter(item.nodeid for item in items).items() if times > 1]
    if twins:
        raise pytest.UsageError(f"several tests have the ID {twins[0]}")


@pytest.fixture
def simulator() -> Iterator[SimulatedProvider]:
    """A simulated provider on a socket of its own."""
    with SimulatedProvider() as provider:
        yield provider


@pytest.fixture
def provider(db: None, simulator: SimulatedProvider) -> Provider:
    """The simulated provider as a row."""
    return Provider.objects.create(name="simulated", base_url=simulator.base_url)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The JSON Schemas that are compiled during the test, equal ones as often as they are."""
    found: list[Any] = []

    def noted(schema: Any, **options: Any) -> Any:
        found.append(schema)
        return compile_schema(schema, **options)

    monkeypatch.setattr("batches.engine.schemas.schemas.compile_schema", noted)
    return found


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names that end in .invalid lead nowhere, without a question to any name server."""
    look_up = asyncio.BaseEventLoop.getaddrinfo

    async def found(loop: asyncio.BaseEventLoop, host: Any, *args: Any, **options: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await look_up(loop, host, *args, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", found)


@pytest.fixture(autouse=True)
def _propagate_logs() -> Iterator[None]:
    """Let caplog see the app's loggers, which do not propagate in production."""
    logger = logging.getLogger("batches")
    logger.propagate = True
    yield
    logger.propagate = False
