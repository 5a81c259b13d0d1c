"""A database that cannot be used is named in a line, by every command that needs one."""

import pytest

from tests.command_line import Finished, prompt_lines
from tests.processes.conftest import CommandLine
from tests.scripted_server import closed_port

COMMANDS = [
    [
        "process_batch",
        "prompts.jsonl",
        "--base-url",
        "http://127.0.0.1:1/v1",
        "--output",
        "o.jsonl",
    ],
    ["serve", "--port", "0"],
    ["create_token", "alice"],
]


def assert_named(ended: Finished, *parts: str) -> None:
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    for part in ("the database", "cannot be used", *parts):
        assert part in line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_that_is_no_database(cli: CommandLine, command: list[str]) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    cli.path("var/db.sqlite3", b"nothing of the kind" * 1000)
    assert_named(cli.run(*command), str(cli.folder / "var" / "db.sqlite3"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_server_that_is_not_there(cli: CommandLine, command: list[str]) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    cli.env["DATABASE_URL"] = f"postgres://reader:canary@127.0.0.1:{closed_port()}/none"
    cli.env["SECRET_KEY"] = "of-a-test"
    ended = cli.run(*command)
    assert_named(ended, "DATABASE_URL")
    assert "canary" not in ended.stderr
