"""`make demo`: start a simulated provider and run examples/prompts.jsonl against it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ROOT / "examples" / "prompts.jsonl"
# A data folder of its own: the demo leaves no trace among your providers and batches.
DATA_DIR = ROOT / "var" / "demo"
OUTPUT = DATA_DIR / "results.jsonl"
ERRORS = DATA_DIR / "errors.jsonl"

MANAGE = (sys.executable, str(ROOT / "manage.py"))
LATENCY = "lognormal:0.3,0.8"


@contextmanager
def simulated_provider() -> Iterator[str]:
    """A simulated provider in a process of its own; yields its base URL."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--latency", LATENCY]
    # In a session of its own, so that Ctrl-C reaches the batch and not the provider under it.
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            address = re.search(r"http://\S+", line)
            if address is None:
                sys.exit(f"The simulated provider did not start: {line.strip() or 'no output'}")
            print(line.strip(), flush=True)
            yield address[0]
        finally:
            process.send_signal(signal.SIGTERM)


def main() -> int:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    os.environ["DATA_DIR"] = str(DATA_DIR)
    with simulated_provider() as base_url:
        print("The prompts named fail-... fail on purpose.", flush=True)
        command = [
            *(*MANAGE, "process_batch", str(PROMPTS), "--base-url", base_url),
            *("--model", "simulated-small", "--max-attempts", "3"),
            *("--output", str(OUTPUT), "--errors", str(ERRORS)),
        ]
        # Ctrl-C is for the batch; it stops cleanly and says how to go on.
        signal.signal(signal.SIGINT, lambda *_: None)
        status = subprocess.run(command, check=False).returncode
    # Some of the prompts are made to fail, which is what a status of 1 says.
    if status not in {0, 1}:
        return status
    folder = DATA_DIR.relative_to(ROOT)
    print(f"The demo keeps its batches in {folder}: put DATA_DIR={folder} before such a command.")
    print(f"Results: {OUTPUT.relative_to(ROOT)}   Failed prompts: {ERRORS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
