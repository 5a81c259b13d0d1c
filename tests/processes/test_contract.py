"""Each row of the contract, with the newest official client and the last ones of older lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import contract
from tests.processes.api_stack import ApiStack

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = {
    "newest": Path(sys.executable),
    "2.x": ROOT / ".venv-openai-2" / "bin" / "python",
    "1.x": ROOT / ".venv-openai-1" / "bin" / "python",
}
DEADLINE_S = 240.0

Faults = dict[str, str | None]


# Each client goes through all rows at once, and is to do so once.
EACH_CLIENT = [
    pytest.param(name, marks=pytest.mark.xdist_group(f"client {name}")) for name in CLIENTS
]


@pytest.fixture(scope="module", params=EACH_CLIENT)
def faults(request: pytest.FixtureRequest, api_stack: ApiStack) -> Faults:
    """What is wrong with each row, as this client sees it."""
    python = CLIENTS[request.param]
    assert python.exists(), f"there is no {python}; `make test-all` installs it"
    command = [str(python), contract.__file__, api_stack.server.base_url, api_stack.server.token()]
    ended = subprocess.run(
        command,
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
def test_a_row_of_the_contract_holds(faults: Faults, row: str) -> None:
    assert faults[row] is None, faults[row]


def test_the_clients_are_of_three_lines() -> None:
    versions = {
        subprocess.run(
            [str(python), "-c", "import openai; print(openai.__version__)"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        ).stdout.partition(".")[0]
        for python in CLIENTS.values()
    }
    assert len(versions) == 3
    assert versions >= {"1", "2"}
