"""The door fails calls in the way it was asked for, keeps the account, and opens again."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from simulator import Behaviour, SimulatedProvider
from tests.certificates import Authority
from tests.outages.door import KINDS, Door, Kind
from tests.waiting import PATIENCE_S, wait_until

CALL = {"model": "simulated-small", "messages": [{"role": "user", "content": "Hello?"}]}

# What a client meets while the provider is away.
MET: dict[Kind, tuple[type[Exception], ...] | int] = {
    "refused": (httpx.ConnectError,),
    "502": 502,
    "503": 503,
    # The name is up to the files of the client's process; the server is gone too.
    "dns": (httpx.ConnectError,),
    "tls": (httpx.ConnectError,),
    "hang": (httpx.ReadTimeout,),
}
# And when it goes away before it has answered.
CUT_OFF = {502, 503, httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError}


def met(client: httpx.Client, door: Door) -> type[Exception] | int:
    """The status of a call, or what kept it from having one."""
    try:
        return client.post(f"{door.base_url}/chat/completions", json=CALL).status_code
    except httpx.TransportError as error:
        return type(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_goes_away_and_comes_back(
    kind: Kind, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    signer = Authority()
    tls = signer.server(tmp_path, "127.0.0.1") if kind == "tls" else None
    context = ssl.create_default_context(cadata=signer.pem)
    with (
        Door(simulator.base_url, kind, tls=tls) as door,
        httpx.Client(verify=context, timeout=PATIENCE_S, trust_env=False) as client,
    ):
        assert met(client, door) == 200
        door.shut()
        if kind == "hang":
            client.timeout = httpx.Timeout(PATIENCE_S, read=0.2)
        expected = MET[kind]
        for _ in range(3):
            now = met(client, door)
            assert now == expected if isinstance(expected, int) else now in expected
        if door.counts_all:
            wait_until(lambda: len(door.visits) == 3)
            assert door.most_at_once(since=0.0) == 1
        door.open()
        client.timeout = httpx.Timeout(PATIENCE_S)
        assert met(client, door) == 200
        assert simulator.calls.total() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_calls_on_their_way_are_cut_off(
    kind: Kind, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    simulator.behaviour = Behaviour(latency="60")
    signer = Authority()
    tls = signer.server(tmp_path, "127.0.0.1") if kind == "tls" else None
    context = ssl.create_default_context(cadata=signer.pem)
    with (
        Door(simulator.base_url, kind, tls=tls) as door,
        httpx.Client(verify=context, timeout=5, trust_env=False) as client,
        ThreadPoolExecutor() as pool,
    ):
        call = pool.submit(met, client, door)
        wait_until(lambda: simulator.in_flight == 1)
        door.shut()
        assert call.result() in CUT_OFF
        # It was sent before the provider went away.
        assert door.visits == []
