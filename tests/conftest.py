"""What all tests share."""

import logging
from collections.abc import Iterator

import hypothesis
import pytest

from batches.models import Provider
from batches.simulator import SimulatedProvider

# A busy machine is no reason to fail.
hypothesis.settings.register_profile(
    "threephase", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("threephase")


@pytest.fixture
def simulator() -> Iterator[SimulatedProvider]:
    """A simulated provider on a socket of its own."""
    with SimulatedProvider() as provider:
        yield provider


@pytest.fixture
def provider(db: None, simulator: SimulatedProvider) -> Provider:
    """The simulated provider as a row."""
    return Provider.objects.create(name="simulated", base_url=simulator.base_url)


@pytest.fixture(autouse=True)
def _propagate_logs() -> Iterator[None]:
    """Let caplog see the app's loggers, which do not propagate in production."""
    logger = logging.getLogger("batches")
    logger.propagate = True
    yield
    logger.propagate = False
