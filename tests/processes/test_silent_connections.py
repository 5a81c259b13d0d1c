"""A firewall drops the packets of open connections; see tests/processes/silent_connections.py."""

from tests.processes.own_network import run_alone

# A guard against hanging: without timeouts it takes a quarter of an hour.
SECONDS = 240.0


def test_work_goes_on_when_connections_die_without_a_word() -> None:
    status, output = run_alone("tests.processes.silent_connections", seconds=SECONDS)
    assert status == 0, output
