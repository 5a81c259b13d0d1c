"""A provider is asked for its models, and has to answer in time."""

import socket

import pytest

from batches.engine.errors import DeadlineExceeded
from batches.models import Provider
from batches.probing import look
from batches.simulator import Behaviour, SimulatedProvider


def test_the_models_of_a_provider_are_listed(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=("a", "b"))
    assert look(provider).models == ["a", "b"]


def test_an_endpoint_that_never_answers_is_given_up(provider: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider.base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(DeadlineExceeded, match=f"{provider.base_url}: no answer within 0.2 s"):
            look(provider, deadline_s=0.2)
