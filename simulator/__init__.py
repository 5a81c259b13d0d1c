"""A simulated OpenAI-compatible provider, for the demo, the tests and the benchmarks.

`with SimulatedProvider(Behaviour(latency="0.5")) as provider:` listens at `provider.base_url`.
"""

from simulator.behaviour import Behaviour, InvalidOption
from simulator.server import SimulatedProvider, create_app

__all__ = ["Behaviour", "InvalidOption", "SimulatedProvider", "create_app"]
