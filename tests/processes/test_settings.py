"""Settings that are wrong: said in a line that names the variable, by every command."""

import os
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT, prompt_lines
from tests.owned_process import OwnedProcess
from tests.processes.bulk import stored
from tests.processes.conftest import CommandLine
from tests.processes.test_workers_docs import project

SECRET = {"SECRET_KEY": "of-a-test"}


@pytest.mark.parametrize(
    ("env", "parts"),
    [
        ({"GRACE_SECONDS": "abc"}, ["GRACE_SECONDS=abc", "whole number"]),
        ({"GRACE_SECONDS": "-1"}, ["GRACE_SECONDS=-1", "0"]),
        ({"LOG_LEVEL": "loud"}, ["LOG_LEVEL=LOUD", "WARNING"]),
        ({"DATABASE_URL": "postgres://u:canary@h/x"}, ["SECRET_KEY", "openssl"]),
        ({"DATABASE_URL": "nonsense", **SECRET}, ["DATABASE_URL", "postgres://"]),
        ({"DATABASE_URL": "foo://u:canary@h/x", **SECRET}, ["DATABASE_URL", "postgres://"]),
        ({"DATABASE_URL": "postgres://u:canary@h:x/x", **SECRET}, ["DATABASE_URL", "postgres://"]),
        ({"DATA_DIR": "/dev/null/var"}, ["DATA_DIR=/dev/null/var", "folder"]),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_named(
    cli: CommandLine, env: dict[str, str], parts: list[str]
) -> None:
    cli.env.update(env)
    ended = cli.process_batch()
    assert ended.status == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts)
    assert "canary" not in line


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PROVIDER_CA_BUNDLE", "/nowhere.pem", "PROVIDER_CA_BUNDLE=/nowhere.pem: No such file"),
        ("PROVIDER_CLIENT_CERT", "/a.pem,/b.pem", "PROVIDER_CLIENT_CERT=/a.pem: No such file"),
        (
            "PROVIDER_PROXY",
            "socks5://u:canary@proxy:1",
            "PROVIDER_PROXY: the URL of a proxy must begin with http",
        ),
    ],
)
def test_a_way_out_that_cannot_be_used_is_named(
    cli: CommandLine, name: str, value: str, says: str
) -> None:
    cli.env[name] = value
    cli.path("prompts.jsonl", prompt_lines(1))
    ended = cli.process_batch()
    assert ended.status == 2, ended.stderr
    assert ended.stdout == ""
    assert "error: " in ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "UsageError" not in ended.stderr
    assert "canary" not in ended.stderr
    assert stored(cli, "SELECT * FROM batches_batch") == []
    assert stored(cli, "SELECT * FROM batches_prompt") == []
    assert not (cli.folder / "out.jsonl").exists()


def test_a_worker_of_celery_with_a_wrong_setting_does_not_start(tmp_path: Path) -> None:
    wrong = 'from config.settings import *\nBATCHES["LEASE_SECONDS"] = "soon"\n'
    (tmp_path / "project_settings.py").write_text(wrong)
    env = {**os.environ, **project(tmp_path), "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "--pool", "solo"]
    with OwnedProcess(command, env=env, cwd=ROOT) as worker:
        assert worker.wait() == 1
        assert worker.output.splitlines()[-1].startswith('BATCHES["LEASE_SECONDS"]')
