"""What a command loads before it begins: nothing that it does not need."""

import subprocess
import sys

import pytest

from tests.command_line import ROOT
from tests.processes.conftest import CommandLine

LOADED_BY_WORKER = """
import sys
from config.celery import app
app.loader.import_default_modules()
assert "batches.runner.turns" in sys.modules
print(*sorted(set(sys.modules) & set(sys.argv[1:])))
"""
LOADED = """
import importlib, sys, django
django.setup()
module = importlib.import_module(sys.argv[1])
if hasattr(module, "Command"):
    # Django's checks load every page of the server.
    assert not module.Command.requires_system_checks
print(*sorted(set(sys.modules) & set(sys.argv[2:])))
"""
SERVERS = ("amqp", "batches.admin", "batches.api", "batches.tasks", "celery", "kombu", "uvicorn")
# Redis has its place beside workers; a run on its own has no limits to share. Jinja is loaded for a
# template, Arrow for a Parquet file, the parser of workbooks for a workbook, cryptography for a
# stored key, and the validator for a schema.
FOR_SOME = ("jinja2", "pyarrow", "batches.inputs.table_files", "cryptography", "jsonschema_rs")
UNNEEDED = (*SERVERS, "redis", *FOR_SOME)
# What runs batches takes longer to load than everything that a list needs.
OF_RUNS = ("aiohttp", "batches.runner", "genai_prices")
# The options of a new batch, and tables of results.
OF_BATCHES = ("batches.actions.options", "batches.output.csv")
COMMANDS = {
    # With --help, a command loads its options alone.
    "batches.management.commands.process_batch": (*UNNEEDED, *OF_RUNS, "httpx", "rich"),
    "batches.management.work": UNNEEDED,
    "batches.management.commands.sweep": UNNEEDED,
    "batches.management.commands.work": UNNEEDED,
    "batches.management.commands.batches": (*UNNEEDED, *OF_RUNS, *OF_BATCHES),
    "batches.management.subcommands.listing": (*UNNEEDED, *OF_RUNS, *OF_BATCHES),
}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_loads_nothing_that_it_does_not_need(cli: CommandLine, module: str) -> None:
    assert loaded(cli, LOADED, module, *COMMANDS[module]) == "\n"


def test_a_worker_loads_no_pages_of_the_web_server(cli: CommandLine) -> None:
    pages = ("batches.admin.batches", "batches.api.urls", "config.urls", "rest_framework.views")
    unneeded = (*pages, *FOR_SOME[1:])
    assert loaded(cli, LOADED_BY_WORKER, *unneeded) == "\n"


def loaded(cli: CommandLine, code: str, *arguments: str) -> str:
    """Run code in an interpreter of its own; return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=cli.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
