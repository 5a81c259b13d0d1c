"""Every example in docs/api.md does what it says, against a live server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.api_stack import ApiStack
from tests.processes.stack import ROOT
from tests.waiting import PATIENCE_S

TEXT = (ROOT / "docs" / "api.md").read_text()


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def env(api_stack: ApiStack) -> dict[str, str]:
    """The environment that the text has its readers set up."""
    server = api_stack.server
    return {**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.token()}


def run(command: list[str], env: dict[str, str], folder: Path) -> str:
    ended = subprocess.run(
        command,
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_python_examples_run_one_after_the_other(env: dict[str, str], tmp_path: Path) -> None:
    examples = blocks("python")
    assert len(examples) >= 8
    said = run([sys.executable, "-W", "error", "-c", "\n".join(examples)], env, tmp_path)
    answered = re.findall(r"^question-(\d+) .+$", said, re.MULTILINE)
    assert answered == [str(number) for number in range(20)]
    assert "completed {'total': 2, 'completed': 2, 'failed': 0}" in said
    assert "20 lines with requests" in said
    assert re.findall(r"^(\d) succeeded [\d.]+ \{", said, re.MULTILINE) == ["0", "1"]


def test_the_shell_examples_run_one_after_the_other(env: dict[str, str], tmp_path: Path) -> None:
    examples = blocks("sh")
    assert len(examples) >= 2
    said = run(["bash", "-euo", "pipefail", "-c", "\n".join(examples)], env, tmp_path)
    assert '"object":"batch"' in said.replace(" ", "")
    assert '"object":"file"' in said.replace(" ", "")
    assert json.loads((tmp_path / "batch.json").read_text())["id"].startswith("batch_")


def test_the_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"`([A-Z][A-Z_]{5,})`", TEXT)) - {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    known = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in sorted(named) if f"`{name}`" not in known] == []
