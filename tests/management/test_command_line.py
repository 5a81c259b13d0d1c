"""The command line of these tests leaves their process as it was."""

import gc
import logging
import os
import signal
import sys
from pathlib import Path

from batches.management.bulk.interrupts import SIGNALS
from tests.command_line import CommandsHere, prompt_lines


def state() -> list[object]:
    """Return what a command may change."""
    loggers = [logging.getLogger(name) for name in ("batches", "batches.runner.store", "django")]
    return [
        Path.cwd(),
        dict(os.environ),
        [sys.argv, sys.stdin, sys.stdout, sys.stderr],
        [signal.getsignal(number) for number in SIGNALS],
        [gc.get_threshold(), gc.get_freeze_count()],
        [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers],
    ]


def test_what_a_command_changes_is_as_before(cli: CommandsHere) -> None:
    before = state()
    cli.env["KEY"] = "of-a-test"
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch("--api-key-env", "KEY").status == 0
    assert state() == before
    assert cli.process_batch("--batch-size", "0").status == 2
    assert state() == before


def test_what_a_command_logs_is_on_its_standard_error(cli: CommandsHere) -> None:
    logs = "import logging; logging.getLogger('batches').warning('so it is')"
    ended = cli.run("shell", "-v0", "-c", logs)
    assert (ended.status, ended.stdout) == (0, "")
    assert "WARNING batches so it is" in ended.stderr
