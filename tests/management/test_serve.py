"""manage.py serve: options that make no sense."""

from pathlib import Path

import pytest

from tests.command_line import run_here


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--workers", "0"], ["--simulator-port", "0"]]
)
def test_nonsense_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    ended = run_here("serve", *arguments, folder=tmp_path)
    assert ended.status == 2
    assert arguments[0] in ended.stderr
    assert "Traceback" not in ended.stderr
