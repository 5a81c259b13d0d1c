"""The Python of the README does what it says, against a provider on this machine."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from simulator import SimulatedProvider
from tests.processes.api_stack import ApiStack
from tests.processes.stack import MANAGE, ROOT
from tests.waiting import PATIENCE_S

TEXT = (ROOT / "README.md").read_text()
IN_DJANGO, WITHOUT_DJANGO = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROMPTS = '{"prompt": "Why is the sky blue?"}\n{"prompt": "Why is the sea salt?"}\n'


def said_by(*command: str, env: Mapping[str, str], folder: Path) -> str:
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


def without_django(base_url: str, folder: Path) -> list[str]:
    """The lines that the example prints with this base URL."""
    code = replaced(WITHOUT_DJANGO, "https://api.example/v1", base_url)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return said_by(sys.executable, "-W", "error", "-c", code, env=env, folder=folder).splitlines()


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_a_batch_that_is_made_in_the_shell_is_run_by_the_worker(
    api_stack: ApiStack, tmp_path: Path
) -> None:
    (tmp_path / "prompts.jsonl").write_text(PROMPTS)
    code = replaced(IN_DJANGO, "http://127.0.0.1:8900/v1", api_stack.simulator.base_url)
    stack = api_stack.stack
    command = (*MANAGE, "shell", "-c", f"{code}\nprint(batch.pk)")
    said = said_by(*command, env=stack.env, folder=tmp_path)
    batch = int(said.split()[-1])
    stack.wait_until(lambda: stack.status(batch)["status"] == "completed", "the end of the batch")
    assert stack.stored(batch) == 2


def test_the_engine_calls_a_server_on_this_machine(tmp_path: Path) -> None:
    with SimulatedProvider() as simulator:
        first, second, timing = without_django(simulator.base_url, tmp_path)
    assert re.fullmatch(r"request-0 succeeded .+", first)
    assert re.fullmatch(r"request-1 succeeded .+", second)
    assert timing.startswith("total ")


def test_what_the_engine_does_not_call_is_told_with_the_remedy(tmp_path: Path) -> None:
    first, *_ = without_django("http://10.1.2.3/v1", tmp_path)
    assert first.startswith("request-0 failed ")
    assert "addresses=AddressPolicy(['10.1.2.3'])" in first
