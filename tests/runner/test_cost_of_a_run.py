"""The cost of a run, counted in what does not depend on the machine: statements and calls."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django.db import connection
from django.test.utils import CaptureQueriesContext

from batches.models import Provider
from batches.runner.run import run_slice
from tests.checker import check_batch
from tests.makers import batch_of

PROMPTS, CHUNKS = 200, 20
# By the beginning of a statement and by what else is in it; the first that fits is its name.
KINDS = {
    "claim": ("SELECT", '"batches_chunk"."hi"'),
    "read": ("SELECT", 'FROM "batches_prompt"'),
    "lease": ('UPDATE "batches_chunk" SET "state" = \'leased\'', ""),
    "close": ('UPDATE "batches_chunk" SET "state" = \'done\'', ""),
    "renew": ('UPDATE "batches_chunk"', ""),
    "store": ("INSERT INTO batches_result", ""),
    "count": ('UPDATE "batches_batch" SET "succeeded"', ""),
    "check": ("SELECT COUNT", '"stored" FROM "batches_result"'),
    "look": ("SELECT", 'FROM "batches_outage"'),
    "savepoint": ("SAVEPOINT", ""),
    "release": ("RELEASE SAVEPOINT", ""),
}
# Statements of a look around, which is due each second, beside that above.
LOOKING = 3
# Statements to begin and to finish a batch, however large.
ONCE = 23
# Calls of Python functions for a prompt, plus a quarter. They differ by 5 % from run to run.
MOST_CALLS = 975


def kind(sql: str) -> str:
    found = (name for name, (start, part) in KINDS.items() if sql.startswith(start) and part in sql)
    return next(found, "other")


def test_a_chunk_takes_three_statements_and_a_prompt_none(provider: Provider) -> None:
    batch = batch_of(provider, PROMPTS, batch_size=PROMPTS // CHUNKS)
    with CaptureQueriesContext(connection) as queries:
        assert run_slice(batch.pk).ended
    check_batch(batch)
    made = Counter(kind(query["sql"]) for query in queries)
    assert (made["lease"], made["close"], made["check"]) == (CHUNKS, CHUNKS, CHUNKS), made
    # The last claims find nothing. Claims and flushes are shared by as many chunks as there is time
    # for: one at least.
    assert made["claim"] <= CHUNKS + 3, made
    assert made["read"] <= made["claim"], made
    assert made["store"] in {0, made["count"]}, made
    assert made["renew"] <= made["count"] < PROMPTS / 2, made
    assert made["other"] <= ONCE + LOOKING * made["look"], made


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count the calls of Python functions in this thread and in those that it starts."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        calls[event] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def calls_of(provider: Provider, prompts: int) -> int:
    batch = batch_of(provider, prompts, batch_size=100)
    with counted_calls() as calls:
        assert run_slice(batch.pk).ended
    check_batch(batch)
    return calls["call"]


def test_a_prompt_takes_no_more_calls_of_functions_than_it_did(provider: Provider) -> None:
    calls_of(provider, 10)
    few, many = calls_of(provider, 100), calls_of(provider, 300)
    assert (many - few) / 200 <= MOST_CALLS
