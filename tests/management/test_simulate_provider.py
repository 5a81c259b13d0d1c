"""manage.py simulate_provider: what is wrong with its options, and its help."""

from pathlib import Path

import pytest

from simulator import SimulatedProvider
from tests.command_line import run_here


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
    tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    ended = run_here("simulate_provider", *options, folder=tmp_path)
    assert (ended.status, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert complaint in line


def test_a_port_in_use_is_one_clear_line(simulator: SimulatedProvider, tmp_path: Path) -> None:
    port = simulator.base_url.removesuffix("/v1").rsplit(":", 1)[1]
    ended = run_here("simulate_provider", "--port", port, folder=tmp_path)
    assert (ended.status, ended.stdout) == (2, "")
    complaint = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert ended.stderr == f"CommandError: {complaint}\n"


def test_the_help_explains_the_knobs_and_the_directives(tmp_path: Path) -> None:
    ended = run_here("simulate_provider", "--help", folder=tmp_path)
    assert (ended.status, ended.stderr) == (0, "")
    for words in ("--latency", "lognormal:", "[simulate: status=500 times=2]", "examples:"):
        assert words in ended.stdout
