"""Write commands of this project so that they can be pasted into the user's shell."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def command_line(*arguments: str) -> str:
    """Return a whole command, which runs the program that runs now."""
    return shlex.join([*_program(), *arguments])


def _program() -> list[str]:
    script = sys.argv[0]
    if Path(script).name == "__main__.py":
        return [_python(), "-m", "django"]
    return [_python(), script] if script.endswith(".py") else [script]


def _python() -> str:
    """Return the name of this Python if the shell finds it by its name, else its path."""
    name = Path(sys.executable).name
    if shutil.which(name) == sys.executable:
        return name
    here = f"{Path.cwd()}{os.sep}"
    return sys.executable.removeprefix(here) or name
