"""A Celery worker that ends itself by SIGKILL at a named point of its work, the n-th time.

`CRASH_AT=inside_flush:2 python -m tests.processes.crashing_worker worker ...`. The points are
here and not in the product: it is started just before or just after one of its functions.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from batches.engine import execute
from batches.providers.client import ProviderClient
from batches.runner import results, run, store
from batches.runner.slices import preparing, storing
from batches.writeback.targets import FieldTarget
from batches.writeback.writing import AnswerWriter
from config.celery import app

# point: where the function is, its name, and whether the worker ends after it or before it
POINTS: dict[str, tuple[Any, str, bool]] = {
    "before_claim": (store, "claim_chunks", False),
    "after_claim": (store, "claim_chunks", True),
    "before_prepare": (preparing, "prepare_prompt_request", False),
    "before_send": (ProviderClient, "_exchange", False),
    "after_reply": (execute.Execution, "_finish", False),
    "before_postprocess": (storing, "postprocess_exchange", False),
    "inside_flush": (results, "_count", False),
    "after_flush": (store, "store_outcomes", True),
    "before_finish": (run, "finish_batch", False),
}


# In the write-back of answers to rows, which only the project with rows has.
ROW_POINTS: dict[str, tuple[Any, str, bool]] = {
    "before_write_back": (AnswerWriter, "write", False),
    "before_a_row": (FieldTarget, "write", False),
    "after_a_row": (FieldTarget, "write", True),
    "after_write_back": (AnswerWriter, "write", True),
    "before_commit": (results, "_check_complete", True),
    "after_commit": (store, "store_outcomes", True),
}


def crash_at(point: str, times: int) -> None:
    owner, name, after = {**POINTS, **ROW_POINTS}[point]
    original: Callable[..., Any] = getattr(owner, name)
    left = times

    def crashing(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left > 0:
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    setattr(owner, name, crashing)


if __name__ == "__main__":
    point, _, times = os.environ["CRASH_AT"].partition(":")
    crash_at(point, int(times))
    app.start(sys.argv[1:])
