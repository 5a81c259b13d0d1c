"""`manage.py batches` as a process: it starts fast, and its reader may leave."""

from tests.processes.conftest import CommandLine

# What runs batches takes longer to import than everything that a list needs.
LOADED = """
import sys
from batches.management.commands import batches
from batches.management.subcommands import listing
print([name for name in ("batches.tasks", "batches.api", "genai_prices") if name in sys.modules])
"""


def test_a_list_does_not_load_what_runs_batches(cli: CommandLine) -> None:
    ended = cli.run("shell", "-v0", "-c", LOADED)
    assert (ended.status, ended.stdout) == (0, "[]\n"), ended.stderr


def test_a_list_that_nobody_reads_is_no_fault(cli: CommandLine) -> None:
    process = cli.start("batches", "list")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 141
