"""Environments of the clients that we compare with; each is made when it is first needed."""

import subprocess
import sys
from pathlib import Path

from benchmarks.tools import ROOT

FOLDER = ROOT / ".venv-peers"


class PeerNotInstalled(Exception):
    """The packages of a peer cannot be installed; the message is the last line of pip."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment. Raise PeerNotInstalled."""
    requirements = ROOT / "requirements" / f"peer-{peer}.txt"
    installed = FOLDER / peer / ".installed"
    python = FOLDER / peer / "bin" / "python"
    if not installed.is_file() or installed.read_bytes() != requirements.read_bytes():
        run(sys.executable, "-m", "venv", "--clear", str(FOLDER / peer))
        pip = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "install", "--require-hashes", "-r", str(requirements))
        installed.write_bytes(requirements.read_bytes())
    return python


def run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines() or ["no reason given"]
        raise PeerNotInstalled(said[-1])
