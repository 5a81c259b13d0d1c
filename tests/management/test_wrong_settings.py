"""With a wrong setting every command ends with the name of the setting and what it may be."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from batches.management import commands
from tests.command_line import run_here
from tests.configuring import configure

# The simulated provider uses no settings.
COMMANDS = sorted(
    {path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py")} - {"simulate_provider"}
)

ARGUMENTS = {
    "batches": ["list"],
    "create_token": ["ann"],
    "process_batch": ["prompts.txt", "--output", "out.jsonl"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: Settings, command: str) -> None:
    (tmp_path / "prompts.txt").write_text("one\n")
    configure(settings, LEASE_SECONDS="soon")
    ended = run_here(command, *ARGUMENTS.get(command, []), folder=tmp_path)
    assert (ended.status, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith('error: BATCHES["LEASE_SECONDS"]')
