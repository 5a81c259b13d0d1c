"""A forked Python process is what an executed one would be."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.warm_python import start_python

# What a program can see of its own start.
LOOKS = """
import json, os, signal, sys
print(json.dumps({
    "argv": sys.argv,
    "flags": sys.orig_argv,
    "path": sys.path,
    "name": __name__,
    "file": __file__,
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "parent": os.getppid(),
    "leads": os.getsid(0) == os.getpid(),
    "open": sorted(os.listdir("/proc/self/fd")),
    "streams": [
        (s.encoding, s.errors, s.line_buffering, s.write_through)
        for s in (sys.stdin, sys.stdout, sys.stderr)
    ],
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "asked": sys.stdin.read(),
}))
print("a warning", file=sys.stderr)
"""
ENDS = {
    "its last line": ("pass", 0),
    "a status": ("import sys; sys.exit(7)", 7),
    "a message": ("import sys; sys.exit('no')", 1),
    "an exception": ("raise ValueError", 1),
    "a signal": ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    "a thread": ("import threading, os; threading.Thread(target=lambda: print('late')).start()", 0),
}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "looks.py"


def seen(start: Any, command: list[str], cwd: Path, *, new_session: bool) -> Any:
    process = start(
        command,
        cwd=cwd,
        env={**os.environ, "OF_THE_TEST": "ä"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_session,
    )
    stdout, stderr = process.communicate("a question", timeout=60)
    assert (process.returncode, stderr) == (0, "a warning\n")
    return json.loads(stdout)


@pytest.mark.parametrize("new_session", [True, False])
@pytest.mark.parametrize("how", ["a script", "a module"])
def test_a_program_sees_the_same(program: Path, how: str, *, new_session: bool) -> None:
    program.write_text(LOOKS)
    named = [str(program)] if how == "a script" else ["-m", "looks"]
    command = [sys.executable, *named, "--an", "argument"]
    forked, executed = (
        seen(start, command, program.parent, new_session=new_session)
        for start in (start_python, subprocess.Popen)
    )
    assert forked == executed


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_the_same(program: Path, end: str) -> None:
    text, status = ENDS[end]
    program.write_text(text)
    command = [sys.executable, str(program)]
    process = start_python(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == status
    assert printed == ("late\n" if end == "a thread" else "")


def test_nothing_of_this_project_is_imported_before(program: Path) -> None:
    program.write_text("import sys; print(*sys.modules)")
    process = start_python([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    imported = process.communicate(timeout=60)[0].split()
    assert "django.db.models" in imported
    assert not [name for name in imported if name.partition(".")[0] in {"batches", "config"}]


def test_other_values_of_what_an_interpreter_reads_start_a_new_one(program: Path) -> None:
    program.write_text("import sys; print(sys.flags.utf8_mode, 'django.db.models' in sys.modules)")
    env = {**os.environ, "PYTHONUTF8": "1"}
    process = start_python(
        [sys.executable, str(program)], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.communicate(timeout=60)[0] == "1 False\n"


def test_a_program_on_the_command_line_starts_a_new_one() -> None:
    text = "import sys; print('django.db.models' in sys.modules)"
    process = start_python([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=60)[0] == "False\n"
