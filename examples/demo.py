"""`make demo`: start a simulated provider and run examples/prompts.jsonl against it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        print("Its answers are made up. The prompts named fail-... fail on purpose.", flush=True)
        command = [
            *(*MANAGE, "process_batch", str(PROMPTS), "--base-url", base_url),
            *("--model", "simulated-small", "--max-attempts", "3"),
            *("--output", str(OUTPUT), "--errors", str(ERRORS), "--overwrite"),
        ]
        # Ctrl-C is for the batch; it stops cleanly and says how to go on.
        signal.signal(signal.SIGINT, lambda *_: None)
        status = subprocess.run(command, check=False).returncode
    # Some of the prompts are made to fail, which is what a status of 1 says.
    if status not in {0, 1}:
        return status
    print("\nOne prompt of each kind, with its made-up answer:")
    print("\n".join(shown()))
    folder = DATA_DIR.relative_to(ROOT)
    print(f"\nResults: {OUTPUT.relative_to(ROOT)}   Failed prompts: {ERRORS.relative_to(ROOT)}")
    print(f"The demo keeps its batches apart: put DATA_DIR={folder} before such a command.")
    print("Next: run your own prompts (docs/first-hour.md), or start a server (make serve).")
    return 0


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown() -> Iterator[str]:
    """Yield a prompt with its answer: in text, as JSON, and one without an answer."""
    prompts = {line["custom_id"]: line.get("body", line) for line in lines_of(PROMPTS)}
    good, bad = lines_of(OUTPUT), lines_of(ERRORS)
    kinds = {
        "text": [line for line in good if "parsed" not in line],
        "JSON": [line for line in good if "parsed" in line],
        "failed": [line for line in bad if line["error"]],
    }
    for kind, lines in kinds.items():
        for line in lines[:1]:
            question = prompts[line["custom_id"]]["messages"][-1]["content"]
            yield shortened(f"{line['custom_id']}: {question}", f"  {kind:<8}")
            yield shortened(answer_of(line), " " * 10)


def answer_of(line: dict[str, Any]) -> str:
    if line["error"]:
        return f"{line['error']['code']}: {line['error']['message']}"
    text: str = line["response"]["body"]["choices"][0]["message"]["content"]
    return json.dumps(line["parsed"]) if "parsed" in line else text


def shortened(text: str, before: str) -> str:
    """Return the beginning of a text on one line of the terminal, behind `before`."""
    room = min(shutil.get_terminal_size().columns, 100) - len(before)
    return before + textwrap.shorten(text, room, placeholder=" ...")


if __name__ == "__main__":
    sys.exit(main())
