"""Serve the endpoints beside the calls: models, and for tests the ledger and the options."""

from aiohttp import web
from pydantic_core import from_json, to_json

from simulator.behaviour import InvalidOption, knobs, turned
from simulator.endpoints import Refused, check_key
from simulator.replies import error_reply, models_reply
from simulator.state import Simulator


async def list_models(simulator: Simulator, request: web.Request) -> web.Response:
    """Serve GET /v1/models: the known models, or an example if every model is known."""
    try:
        check_key(simulator.behaviour, request)
    except Refused as refused:
        return _json(error_reply(refused.status, code=refused.code), refused.status)
    return _json(models_reply(simulator.behaviour.models or ("simulated-small",)))


async def show_calls(simulator: Simulator, _request: web.Request) -> web.Response:
    """Serve GET /_simulator/calls: the number of calls by prompt."""
    return _json(to_json(simulator.ledger.calls))


async def show_stats(simulator: Simulator, _request: web.Request) -> web.Response:
    """Serve GET /_simulator/stats."""
    return _json(to_json(simulator.ledger.stats()))


async def show_behaviour(simulator: Simulator, _request: web.Request) -> web.Response:
    """Serve GET /_simulator/behaviour: all options."""
    return _json(to_json(knobs(simulator.behaviour)))


async def change_behaviour(simulator: Simulator, request: web.Request) -> web.Response:
    """Serve POST /_simulator/behaviour: change the named options and keep the others."""
    try:
        changes = from_json(await request.read())
        if not isinstance(changes, dict):
            raise InvalidOption('write the options as a JSON object, such as {"latency": "0.5"}')
        simulator.behaviour = turned(simulator.behaviour, changes)
    except ValueError as error:
        return _json(error_reply(400, message=str(error), code="bad_knob"), 400)
    return await show_behaviour(simulator, request)


async def reset(simulator: Simulator, _request: web.Request) -> web.Response:
    """Serve POST /_simulator/reset: forget the calls and keep the options."""
    simulator.reset()
    return _json(to_json(simulator.ledger.stats()))


async def unknown_url(request: web.Request) -> web.Response:
    """Answer any other URL with a 404."""
    message = f"Invalid URL ({request.method} {request.path})"
    return _json(error_reply(404, message=message), 404)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"content-type": "application/json"})
