"""What the commands paint on terminals of 80 and of 200 columns, and what Ctrl-C leaves there."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from simulator import SimulatedProvider
from tests.command_line import MANAGE, ROOT, prompt_lines
from tests.environment import unmeasured
from tests.processes.conftest import CommandLine
from tests.servers import free_port
from tests.terminal import CTRL_C, Terminal
from tests.waiting import wait_until

WIDTHS = [80, 200]
COLUMNS = ["ID", "NAME", "STATUS", "DONE", "FAILED", "COST", "MODEL", "PROVIDER", "CREATED (UTC)"]


def terminal_of(cli: CommandLine, width: int, *arguments: str) -> Terminal:
    return Terminal(
        [sys.executable, str(MANAGE), *arguments], width=width, env=cli.env, folder=cli.folder
    )


def painted(cli: CommandLine, width: int, *arguments: str) -> list[str]:
    """Return the lines that a command paints on a terminal."""
    with terminal_of(cli, width, *arguments) as terminal:
        assert terminal.ended() == 0, terminal.screen
        return terminal.lines


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tables_of_batches_fit_the_terminal(cli: CommandLine, width: int) -> None:
    cli.path("a file with a rather long name.jsonl", prompt_lines(2))
    cli.process_batch("--price", "1,2", name="a file with a rather long name.jsonl")
    listed = painted(cli, width, "batches", "list")
    [row] = json.loads(cli.run("batches", "list", "--json").stdout)
    shown = row["batch_id"] if width == 200 else row["batch_id"][:16]
    assert listed[-1].startswith(f"{shown} ")
    assert "a file " in listed[-1]
    assert " completed " in listed[-1]
    assert "2 of 2" in listed[-1]
    assert ("PROVIDER" in listed[0]) is (width == 200)
    if width == 200:
        assert all(name in listed[0] for name in COLUMNS)
        assert "a file with a rather lo…" in listed[-1]
    providers = painted(cli, width, "batches", "providers")
    assert " answering " in providers[-1]
    usage = painted(cli, width, "batches", "usage")
    assert all(len(line) <= width for line in [*listed, *providers, *usage])
    cost = next(line for line in painted(cli, width, "batches", "show", shown) if "cost" in line)
    assert re.search(r"cost +\$0\.\d+", cost)


@pytest.mark.parametrize("width", WIDTHS)
def test_ctrl_c_leaves_the_state_the_cost_and_the_next_command(
    cli: CommandLine, simulator: SimulatedProvider, width: int
) -> None:
    cli.path("prompts.jsonl", prompt_lines(200))
    options = ("--batch-size", "4", "--price", "100,200")
    again = "Press Ctrl-C again to stop immediately."
    with terminal_of(cli, width, *cli.arguments(*options)) as terminal:
        with simulator.holding(after=12):
            wait_until(lambda: simulator.calls.total() > 12, "the first calls")
            terminal.types(CTRL_C)
            wait_until(lambda: again in terminal.screen, "the hint")
        assert terminal.ended() == 130, terminal.screen
        lines = terminal.lines
    assert any(again in line for line in lines)
    [identifier] = set(re.findall(r"batch_\w+(?=: stopped)", terminal.screen))
    table = [line for line in lines if line.startswith(("│", "┌", "└"))]
    assert any(re.search(r"cost +│ +\$0\.\d+", line) for line in table)
    assert all(len(line) <= width for line in table)
    stopped, held, how = lines[-3:]
    assert stopped == "Stopped."
    assert "out.jsonl holds the " in held
    # It may be longer than the terminal, which wraps it: a line feed would break it when pasted.
    assert how.startswith("To continue: ")
    assert f"process_batch --resume {identifier} --output {cli.path('out.jsonl')}" in how
    assert "Traceback" not in terminal.screen


LOGIN = r"Login  admin, password \S+ \(shown once\)"
TOKEN = r"Token  \S+ \(shown once\)"


@pytest.mark.parametrize("width", WIDTHS)
def test_serve_prints_one_block_and_nothing_else(tmp_path: Path, width: int) -> None:
    port, provider = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    env = {**unmeasured(), "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, str(MANAGE), "serve", "--port", str(port)]
    command += ["--simulate", "--simulator-port", str(provider)]
    with Terminal(command, width=width, env=env, folder=tmp_path) as terminal:
        # With its end: the terminal shows Ctrl-C where the line ends so far.
        wait_until(lambda: "Stop   press Ctrl-C\r\n" in terminal.screen, "the block")
        terminal.types(CTRL_C)
        assert terminal.ended() == 0, terminal.screen
        lines = [line.removeprefix("^C") for line in terminal.lines]
    expected = [
        re.escape(f"Starting Threephase at {address} ..."),
        re.escape(f"serve    | Admin  {address}/admin/"),
        rf"serve    \| {LOGIN}",
        re.escape(f"serve    | API    {address}/v1 (reference: /v1/docs)"),
        rf"serve    \| {TOKEN}",
        re.escape(
            f"serve    | Model  simulated-small, simulated at http://127.0.0.1:{provider}/v1"
        ),
        re.escape("serve    | Stop   press Ctrl-C"),
        re.escape("serve    | Stopping. Press Ctrl-C again to kill all processes."),
        re.escape("serve    | Stopped."),
    ]
    assert len(lines) == len(expected), terminal.screen
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
        assert len(line) <= width


def test_serve_speaks_before_it_asks_the_database(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite3").write_bytes(b"\xff" * 5000)
    env = {**unmeasured(), "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, str(MANAGE), "serve", "--port", "0"]
    with Terminal(command, width=80, env=env, folder=tmp_path) as terminal:
        assert terminal.ended() == 2
        first, *rest = terminal.lines
    assert first.startswith("Starting Threephase at http://127.0.0.1:")
    assert "is not a database" in "".join(rest)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_demo_fits_the_terminal(width: int) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-m", "examples.demo"]
    with Terminal(command, width=width, env=env, folder=ROOT) as terminal:
        assert terminal.ended() == 0, terminal.screen
        lines = terminal.lines
    begun = lines.index("One prompt of each kind, with its made-up answer:")
    assert lines[-1].startswith("Next: run your own prompts")
    assert all(len(line) <= width for line in lines[begun:])
    kinds = [line.split()[0] for line in lines[begun:] if re.match(r"  \S", line)]
    assert kinds == ["text", "JSON", "failed"]
    assert "Its answers are made up." in terminal.screen
    assert any(line.startswith("Failed prompts, by kind") for line in lines)
