"""The command line in the process of the tests."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from simulator import SimulatedProvider
from tests.command_line import CommandsHere
from tests.configuring import configure


@pytest.fixture
def cli(
    tmp_path: Path, transactional_db: None, settings: Settings, simulator: SimulatedProvider
) -> CommandsHere:
    """`manage.py` over a folder of the test, and an empty database."""
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    configure(settings, DATA_DIR=data_dir)
    return CommandsHere(tmp_path, simulator)
