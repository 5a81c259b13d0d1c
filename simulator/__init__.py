"""A simulated OpenAI-compatible provider, for the demo, the tests and the benchmarks.

`with SimulatedProvider(Behaviour(latency="0.5")) as provider:` listens at `provider.base_url`.
"""

from simulator.behaviour import BadKnob, Behaviour
from simulator.server import SimulatedProvider, create_app

__all__ = ["BadKnob", "Behaviour", "SimulatedProvider", "create_app"]
