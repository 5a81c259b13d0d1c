"""docs/first-hour.md is followed as it stands: its commands, the steps in the admin, its client."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from simulator import Behaviour, SimulatedProvider
from tests.command_line import MANAGE, ROOT, Finished
from tests.processes.conftest import CommandLine, visiting
from tests.processes.served import Served
from tests.servers import free_port
from tests.waiting import wait_until

PAGE = (ROOT / "docs" / "first-hour.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "sh"]
SAID = [text.splitlines() for kind, text in BLOCKS if kind == "text"]
[TABLE] = [text for kind, text in BLOCKS if kind == "csv"]
STEPS = re.findall(r"^\d+\. (.*)$", PAGE.partition("## The same in the admin")[2], re.MULTILINE)
# What the steps consist of; words in bold are the names of things on a page.
ACTION = re.compile(
    r"(?:`(?P<value>[^`]+)` as"
    r"|(?P<verb>(?i:press|open|wait for|confirm with|download the results:)))"
    r" \*\*(?P<label>[^*]+)\*\*"
)
[CLIENT] = [text for kind, text in BLOCKS if kind == "python"]


class Newcomer:
    """Types the commands of the page into a shell, and pastes what they print."""

    def __init__(self, cli: CommandLine, simulator: SimulatedProvider) -> None:
        self.cli = cli
        self._simulator = simulator
        self.env = {**cli.env, "DEMO_KEY": "demo-key"}

    def command(self, script: str) -> str:
        """Return the script for this provider; the shell becomes its last command."""
        text = script.replace("http://127.0.0.1:8900/v1", self._simulator.base_url)
        text = text.replace("python manage.py", f"{sys.executable} {MANAGE}")
        *before, last = text.strip().splitlines()
        return "\n".join([*before, f"exec {last}"])

    def start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                "/bin/sh",
                "-ec",
                self.command(script).replace(f"\n{sys.executable}", f"\nexec {sys.executable}"),
            ],
            env=self.env,
            cwd=self.cli.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def prepares(self, script: str) -> None:
        """Run what comes before the last command, such as the making of its file."""
        before, _, _ = script.strip().rpartition("\n")
        subprocess.run(["/bin/sh", "-ec", before], cwd=self.cli.folder, check=True)

    def types(self, script: str) -> Finished:
        return self.cli.finish(self.start(script))

    def pastes(self, ended: Finished, after: str) -> Finished:
        [command] = re.findall(rf"{after} (.*)", ended.stderr)
        return self.types(command)


def assert_said(ended: Finished, lines: list[str]) -> None:
    for line in lines:
        assert line in ended.stderr, ended.stderr


@pytest.fixture
def newcomer(cli: CommandLine, simulator: SimulatedProvider) -> Newcomer:
    simulator.behaviour = Behaviour(api_key="demo-key", latency="0.1")
    cli.path("questions.csv", TABLE.replace("\n", "\r\n").encode("cp1252"))
    return Newcomer(cli, simulator)


def test_the_walk_of_a_newcomer(newcomer: Newcomer, simulator: SimulatedProvider) -> None:
    table, many, budget, wrong, failing, results = SCRIPTS
    own, stopped, spent, refused, left = SAID
    folder = newcomer.cli.folder

    ended = newcomer.types(table)
    assert ended.status == 0, ended.stderr
    assert_said(ended, own)
    with (folder / "answers.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == ["row-1", "row-3"]

    before = simulator.calls.total()
    with simulator.holding(after=4):
        process = newcomer.start(many)
        wait_until(lambda: simulator.calls.total() > before + 4, "calls of the longer batch")
        newcomer.cli.stop(process)
    ended = newcomer.cli.finish(process)
    assert ended.status == 130, ended.stderr
    assert_said(ended, stopped)
    assert newcomer.pastes(ended, "To continue:").status == 0
    assert len((folder / "many.jsonl").read_text().splitlines()) == 60

    ended = newcomer.types(budget)
    assert ended.status == 2
    assert_said(ended, spent)
    assert newcomer.pastes(ended, "To spend as much again:").status in {0, 2}

    ended = newcomer.types(wrong)
    assert ended.status == 2
    assert_said(ended, refused)
    assert newcomer.pastes(ended, "To continue:").status == 0

    ended = newcomer.types(failing)
    assert ended.status == 1
    assert_said(ended, left)
    assert newcomer.pastes(ended, re.escape(left[0])).status == 0
    [identifier] = set(re.findall(r"--retry (\w+)", ended.stderr))
    ended = newcomer.types(results.replace("BATCH_ID", identifier))
    assert ended.status == 0, ended.stderr
    assert (folder / "results.csv").exists()


# -- the admin and the official client


@pytest.fixture
def served(newcomer: Newcomer) -> Iterator[Served]:
    """`serve` as the page starts it; its port is another one, as other tests run meanwhile."""
    [arguments] = re.findall(r"^    make serve ARGS=\"(.*) 8901\"$", PAGE, re.MULTILINE)
    recipe = re.findall(r"manage\.py serve (.*) \$\(ARGS\)", (ROOT / "Makefile").read_text())
    served = Served(newcomer.cli.folder / "var", *recipe, arguments, str(free_port()))
    with served.process:
        served.wait_until_up()
        yield served


class Reader:
    """Does in a browser what a step of the page says, to what has the names in bold there."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder

    def follow(self, step: str) -> None:
        found = list(ACTION.finditer(step))
        assert len(found) == step.count("**") // 2, f"not understood: {step}"
        for one in found:
            if one["value"]:
                self.enter(one["label"], one["value"])
            else:
                VERBS[one["verb"].lower()](self, one["label"])

    def _clickable(self, label: str) -> Locator:
        inside = ", ".join(f"{tag}, {tag} *" for tag in ("a", "button", "summary"))
        named = self.page.get_by_text(label, exact=True).and_(self.page.locator(inside))
        return named.locator("visible=true").first

    def _field(self, label: str) -> Locator:
        return self.page.get_by_label(re.compile(rf"^{re.escape(label)}\s*\*?$"))

    def enter(self, label: str, value: str) -> None:
        """Write into a field, or choose a file of the folder, or the option that begins so."""
        field = self._field(label)
        if (self.folder / value).exists():
            field.set_input_files(self.folder / value)
        elif label in CHOSEN:
            option = field.locator("option", has_text=re.compile(f"^{re.escape(value)}"))
            field.select_option(option.get_attribute("value"))
        else:
            field.fill(value)

    def press(self, label: str) -> None:
        self._clickable(label).click()

    def confirm(self, label: str) -> None:
        self.page.locator("dialog").get_by_text(label, exact=True).click()

    def wait(self, label: str) -> None:
        self.page.get_by_text(label, exact=True).locator("visible=true").first.wait_for()

    def download(self, label: str) -> None:
        with self.page.expect_download() as download:
            self.press(label)
        download.value.save_as(self.folder / "downloaded")


CHOSEN = {"CSV column", "Provider"}
VERBS: dict[str, Callable[[Reader, str], None]] = {
    "press": Reader.press,
    "open": Reader.press,
    "confirm with": Reader.confirm,
    "wait for": Reader.wait,
    "download the results:": Reader.download,
}


def test_the_admin_and_the_official_client_do_what_the_page_says(
    served: Served, newcomer: Newcomer, simulator: SimulatedProvider, chrome: Browser
) -> None:
    simulator.behaviour = Behaviour(api_key="demo-key", latency="0.5")
    newcomer.prepares(SCRIPTS[1])
    address = served.printed("Admin").removesuffix("/admin/")
    with visiting(chrome, address) as visitor:
        visitor.log_in("admin", served.printed("Login"))
        reader = Reader(visitor.page, newcomer.cli.folder)
        for step in STEPS:
            reader.follow(step.replace("http://127.0.0.1:8900/v1", simulator.base_url))
    with (newcomer.cli.folder / "downloaded").open(encoding="utf-8-sig", newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == ["row-1", "row-3"]
    env = {
        **os.environ,
        "OPENAI_BASE_URL": served.printed("API"),
        "OPENAI_API_KEY": served.printed("Token"),
    }
    command = [sys.executable, "-c", CLIENT]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    status, line = ended.stdout.split("\n", 1)
    assert (status, json.loads(line)["custom_id"]) == ("completed", "a")
