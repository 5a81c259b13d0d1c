"""Pages of the docs that are followed as they stand: blocks, commands and clients."""

import os
import re
import subprocess
import sys
from pathlib import Path

from simulator import SimulatedProvider
from tests.command_line import MANAGE, ROOT, Finished
from tests.processes.api_stack import ApiStack
from tests.processes.conftest import CommandLine
from tests.waiting import PATIENCE_S


def blocks_of(page: str, kind: str) -> list[str]:
    """Return the blocks of code of one kind on a page of the docs."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def typed(cli: CommandLine, simulator: SimulatedProvider, script: str) -> Finished:
    """Run a script of a page against this provider."""
    text = script.replace("http://127.0.0.1:8900/v1", simulator.base_url)
    text = text.replace("python manage.py", f"{sys.executable} {MANAGE}")
    return cli.finish(
        subprocess.Popen(
            ["/bin/sh", "-ec", text],
            env=cli.env,
            cwd=cli.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def lines_of_client(stack: ApiStack, client: str, folder: Path) -> list[str]:
    """Run a client of a page against this server; return the lines that it prints."""
    server = stack.server
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", client],
        env={**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.token()},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()
