"""`manage.py serve` in a process of its own."""

import json
import os
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.command_line import MANAGE
from tests.owned_process import OwnedProcess
from tests.process_table import Seen, children_of
from tests.servers import free_port
from tests.waiting import wait_until

# For an answer on a busy machine. A server without deadlines waits for ever for what hangs.
ANSWER_S = 30.0
# What a child's command line shows.
SIGNS = {
    "broker": "valkey-server",
    "worker": " celery ",
    "sweeper": "manage.py sweep",
    "web": "uvicorn",
    "guard": "guard.py",
}

# What a program that uses the app does, with no word about workers.
CREATE = """
import io
from batches.actions.options import BatchOptions
from batches.actions import batches as batch_actions
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.models import Provider
text = io.BytesIO(b"".join(b"prompt %d\\n" % n for n in range(30)))
prompts = read_prompts(text, InputOptions(
    endpoint="/v1/chat/completions", defaults={"model": "simulated-small"},
    max_line_bytes=1000, format="text", column="prompt"))
batch_actions.create_batch(Provider.objects.get(), prompts, BatchOptions(
    defaults={"model": "simulated-small"}))
"""


class Served:
    """One `serve` over a data folder."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(data_dir),
            "LEASE_SECONDS": "2",
            "SWEEP_SECONDS": "1",
        }
        self.env.pop("CELERY_BROKER_URL", None)
        self.process = OwnedProcess(
            [sys.executable, str(MANAGE), "serve", "--port", str(self.port), *arguments],
            env=self.env,
            cwd=data_dir,
        )

    def status(self, path: str) -> tuple[int, object]:
        """What a page answers; 0 while nobody does."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=ANSWER_S) as reply:
                return reply.status, json.load(reply)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (URLError, OSError):
            return 0, None

    def is_up(self) -> bool:
        return self.status("readyz")[0] == 200 and all(self.pid(name) for name in SIGNS)

    def wait_until_up(self) -> None:
        wait_until(lambda: self.is_up() or not self.process.running, f"up:\n{self.process.output}")
        assert self.process.running, self.process.output

    def children(self) -> list[Seen]:
        return children_of(self.process.popen.pid)

    def pid(self, name: str) -> int:
        """The process of a child now; 0 if there is none."""
        return next((c.pid for c in self.children() if SIGNS[name] in c.command), 0)

    def stored(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.data_dir / "db.sqlite3")) as connection:
            return connection.execute(sql).fetchall()

    def said(self, text: str) -> bool:
        return text in self.process.output

    def printed(self, name: str) -> str:
        """What stands after a name in the block that is printed at the start."""
        pattern = re.compile(rf"serve +\| {name} +(?:admin, password )?(\S+)")
        wait_until(lambda: pattern.search(self.process.output), f"{name} is printed")
        [found] = pattern.findall(self.process.output)
        return str(found)
