"""Each row of the contract, with the newest official client and the last ones of older lines."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from tests.processes import contract
from tests.processes.api_stack import ApiServer, ApiStack

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = {
    "newest": Path(sys.executable),
    "2.x": ROOT / ".venv-openai-2" / "bin" / "python",
    "1.x": ROOT / ".venv-openai-1" / "bin" / "python",
}
# Not by an import, which takes two seconds.
VERSION = "from importlib.metadata import version; print(version('openai'))"
DEADLINE_S = 240.0


Faults = dict[str, str | None]


@pytest.fixture(scope="session")
def faults(api_stack: ApiStack) -> Callable[[str], Faults]:
    """What is wrong with each row, as a client sees it, which goes through all of them at once."""
    return cache(partial(_faults, api_stack.server))


def _faults(server: ApiServer, client: str) -> Faults:
    python = CLIENTS[client]
    assert python.exists(), f"there is no {python}; `make test-all` installs it"
    ended = subprocess.run(
        [str(python), contract.__file__, server.base_url, server.token()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    return {one["row"]: one["fault"] for one in told}


@pytest.mark.parametrize("row", contract.ROWS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_row_of_the_contract_holds(
    faults: Callable[[str], Faults], client: str, row: str
) -> None:
    assert faults(client)[row] is None, faults(client)[row]


def test_the_clients_are_of_three_lines() -> None:
    versions = {
        subprocess.run(
            [str(python), "-c", VERSION],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        ).stdout.partition(".")[0]
        for python in CLIENTS.values()
    }
    assert len(versions) == 3
    assert versions >= {"1", "2"}
