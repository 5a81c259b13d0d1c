"""A provider with quotas and faults that we did not write judges how we call and retry it."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.command_line import Commands, prompt_lines
from tests.owned_process import OwnedProcess
from tests.server_process import free_port
from tests.waiting import wait_until

LLMOCK = Path(sys.executable).with_name("llmock")
PROMPTS = 80
WINDOW = 20
# It measures waits by its own clock, and on a busy machine notes the end of an answer late; and it
# sees two waits, the second by chance of the jitter no longer, as waits that do not grow.
BY_THE_CLOCK = {"no_backoff", "retry_after_ignored"}


class Judge:
    """The provider, in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        port = self.address.rpartition(":")[2]
        command = [str(LLMOCK), "serve", "--port", port, "--log-level", "warning", *options]
        self.process = OwnedProcess(command)

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.address}/_llmock/requests", trust_env=False).is_success
        except httpx.TransportError:
            return False

    @property
    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = httpx.get(
            f"{self.address}/_llmock/verdict", trust_env=False
        ).json()
        return verdict


@contextmanager
def judging(*options: str) -> Iterator[Judge]:
    judge = Judge(*options)
    with judge.process:
        wait_until(judge.is_up, "the start of llmock")
        yield judge


def run_at(judge: Judge, cli: Commands) -> dict[str, Any]:
    """Its verdict on a run in which every prompt was answered."""
    cli.path("prompts.jsonl", prompt_lines(PROMPTS))
    options = ("--base-url", f"{judge.address}/v1", "--model", "gpt-4o-mini", "--json")
    ended = cli.process_batch(*options, "--max-attempts", "9", "--batch-size", str(WINDOW))
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["succeeded"] == PROMPTS
    verdict = judge.verdict
    assert verdict["calls"] >= PROMPTS
    findings = verdict["findings"]
    assert {finding["code"] for finding in findings} <= BY_THE_CLOCK, findings
    # Who does it wrong does it wrong each time.
    assert len(findings) <= (verdict["attempts"] - verdict["calls"]) / 2, findings
    return verdict


def rude_call(judge: Judge) -> int:
    """The status of a call that asks nobody whether it may be made."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    url = f"{judge.address}/v1/chat/completions"
    return httpx.post(url, json=body, trust_env=False).status_code


def test_it_finds_nothing_wrong_with_our_retries(cli: Commands) -> None:
    faults = ("--error-rate", "429=0.04", "--error-rate", "500=0.04", "--error-rate", "503=0.04")
    with judging(*faults) as judge:
        assert run_at(judge, cli)["faults_injected"] > 0


def test_it_finds_nothing_wrong_with_how_we_keep_its_quota(cli: Commands) -> None:
    with judging("--rpm", "60") as judge:
        verdict = run_at(judge, cli)
        assert verdict["attempts"] - verdict["calls"] <= 2 * WINDOW
        # It has a quota indeed: whoever does not keep to it is refused.
        with ThreadPoolExecutor(WINDOW) as pool:
            wait_until(lambda: 429 in pool.map(rude_call, [judge] * PROMPTS), "a refusal")
