"""Run batches: alone, or by several runners, each in a thread and over its own connection."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from batches.models import Batch
from batches.runner.run import run_slice


def ended(batch: Batch) -> Batch:
    """Run a batch to its end."""
    while not run_slice(batch.pk).ended:
        pass
    batch.refresh_from_db()
    return batch


def run_with(runners: int, batch: Batch) -> None:
    """Let this many runners work on a batch, until none of them finds anything to do."""

    def slice_of_one(_: int) -> None:
        try:
            run_slice(batch.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(runners) as threads:
        list(threads.map(slice_of_one, range(runners)))
    batch.refresh_from_db()
