"""The command line of the simulated provider, with and without Django."""

import asyncio
import errno
import os
import resource
import signal
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from simulator.behaviour import Behaviour, InvalidOption, descriptions, turned
from simulator.server import create_app, listening

HIGHEST_PORT = 65535
# Each connection is an open file.
MOST_OPEN_FILES = 16_384

HELP = """\
Run a simulated OpenAI-compatible provider on this machine: chat completions, responses and
embeddings with made-up answers, as slow and as faulty as you like. Nothing leaves the machine
and nothing costs money. Equal prompts get equal answers, so that runs can be repeated.
"""

EPILOG = """\
examples:
  # answers at once, at http://127.0.0.1:8900/v1
  python -m simulator

  # like a hosted model: mostly 0.4 s, sometimes far slower, 2 % errors
  python -m simulator --latency lognormal:0.4,0.8 --error-rate 500=0.01,429=0.01

  # a strict one: 20 calls per second, one key, two models
  python -m simulator --requests-per-second 20 --api-key sk-test --models small,large

directives in the text of a prompt script that prompt alone, whatever the options say:
  [simulate: status=500 times=2]                 the first two calls fail
  [simulate: status=429 retry_after=0.2 times=1] one refusal, with Retry-After
  [simulate: answer=not_json turn=1]             a bad answer that the next question repairs
  [simulate: status=429 code=insufficient_quota] no credit left
  [simulate: latency=1.5]                        this prompt takes 1.5 s
  [simulate: answer=fenced]                      any of the answer forms
  [simulate: body=truncated]                     also html, empty, wrong_shape, huge (mib=64),
                                                 gzip_bomb (mib=64), trickle, nul, surrogate, nan,
                                                 deep, invalid_utf8, short_content_length,
                                                 long_content_length; with status=502 if you like
  [simulate: redirect=http://127.0.0.1:9/]       also reset, hang
Several directives with times= follow one another; one without times= applies to all other calls.

while it runs:
  GET  /_simulator/calls       number of calls by prompt
  GET  /_simulator/stats       calls, in flight, by status
  POST /_simulator/behaviour   change options: {"latency": "0.5"}
  POST /_simulator/reset       forget the calls
"""


class Refused(Exception):
    """An option that cannot be used, or an address on which the server cannot listen."""


def add_options(parser: ArgumentParser) -> None:
    """Add the address, and one option for each field of `Behaviour`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", default="8900", help="port to listen on; 0 = any free one (8900)")
    knobs = parser.add_argument_group("the provider's behaviour")
    for name, help_ in descriptions().items():
        knobs.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=help_)


def run(options: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM. Raises Refused."""
    behaviour = _behaviour(options)
    host, port = options["host"], _port(options["port"])
    _allow_open_files()
    try:
        asyncio.run(_serve(behaviour, host, port))
    except OSError as error:
        # asyncio gives no number if no address of the host belongs to this machine.
        number = error.errno or errno.EADDRNOTAVAIL
        reason = os.strerror(number) if number > 0 else error.strerror
        raise Refused(f"cannot listen on {host}:{port}: {reason}") from error


async def _serve(behaviour: Behaviour, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(create_app(behaviour), host, port) as base_url:
        print(f"Simulated provider at {base_url} (Ctrl-C stops)", flush=True)  # noqa: T201 - the address is the output
        await stop.wait()


def _behaviour(options: Mapping[str, Any]) -> Behaviour:
    given = {name: options[name] for name in descriptions() if options[name] is not None}
    try:
        return turned(Behaviour(), given)
    except InvalidOption as error:
        raise Refused(str(error)) from error


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise Refused(f"port: {text!r} is not a port from 0 to {HIGHEST_PORT}")
    return int(text)


def _allow_open_files() -> None:
    """Raise the limit of open files as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MOST_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
