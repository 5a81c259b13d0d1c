"""A process that runs batches is tuned; the tests themselves are not."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from asgiref.sync import async_to_sync
from batches.runner.tuning import tune_process

async def loop_of_a_slice():
    return type(asyncio.get_running_loop()).__module__

tune_process()
print(async_to_sync(loop_of_a_slice)(), gc.get_freeze_count() > 0)
"""


def test_a_slice_runs_on_uvloop_and_what_is_loaded_is_not_scanned_again() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["uvloop", "True"]
