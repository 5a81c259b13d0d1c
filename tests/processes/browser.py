"""A browser for the tests: the system's Chromium, driven in a process of its own thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

from tests.system_tools import system_tool

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-first-run"),
)
NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 860}
SERIOUS = {"serious", "critical"}
# The rules of axe that read colours.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]

# Cells whose text does not fit, and tables that have to be moved sideways.
CLIPPED = """
() => [...document.querySelectorAll(
  "td, tbody th, dt, dd, .tp-card p, .tp-cell, .tp-cell *, .tp-scroll"
)].filter((one) => one.clientWidth > 1 && (one.scrollWidth > one.clientWidth + 1
    || one.scrollHeight > one.clientHeight + 1))
  .map((one) => one.outerHTML.slice(0, 200))
"""

# Remembers all that can be clicked or filled and is to be seen, with its look, and counts it.
REMEMBER_CONTROLS = """
() => {
  const all = document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
  );
  const seen = [...all].filter((one) => !one.disabled && one.checkVisibility({
    checkOpacity: true, checkVisibilityCSS: true }) && one.getClientRects().length);
  const look = (one) => {
    const { outline, boxShadow, borderColor, backgroundColor } = getComputedStyle(one);
    return [outline, boxShadow, borderColor, backgroundColor].join();
  };
  // What has the focus from the beginning looks like it.
  document.activeElement?.blur();
  window.looks = new Map(seen.map((one) => [one, look(one)]));
  window.unmarked = new Set();
  window.arrived = () => {
    const one = document.activeElement;
    if (looks.get(one) === look(one)) unmarked.add(one);
    looks.delete(one);
    // Among radio buttons people go on with the arrow keys.
    if (one.type === "radio")
      for (const other of looks.keys()) if (other.name === one.name) looks.delete(other);
    return looks.size;
  };
  return seen.length;
}
"""
MISSED = """
() => {
  const told = (all, what) => [...all].filter((one) => one.isConnected)
    .map((one) => `${what}: ${one.outerHTML.slice(0, 200)}`);
  return [...told(looks.keys(), "not reached"), ...told(unmarked, "no visible focus")];
}
"""

# What stands over and beside the things on a page; not what batches and providers are called.
LABELS = """
() => [...document.querySelectorAll(
  "h1, h2, h3, thead th, .tp-tiles dt, label, legend, .tp-button, figcaption strong, nav a"
)].filter((one) => one.checkVisibility() && !one.closest(".tp-way"))
  .map((one) => one.innerText.trim().replace(/\\s+/g, " ")).filter(Boolean)
"""


@dataclass
class Visitor:
    """Somebody who looks at pages of one server, and what the browser had to complain of."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._got)

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.address}/", "data:", "blob:")):
            self.complaints.append(f"another host: {request.url}")

    def _got(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}")

    def log_in(self, name: str, password: str) -> None:
        self.open("/admin/")
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_selector("h1")

    def faults_of_page(self, *, dark: bool) -> list[str]:
        """What axe finds serious on the page that is open, in a theme.

        Both themes have the same elements, so of the dark one only the colours are looked at.
        """
        self.page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", dark)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if dark:
            options["runOnly"] = {"type": "rule", "values": COLOUR_RULES}
        report = self._axe(options)
        assert report["passes"], "axe looked at nothing"
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in report["violations"]
            if one["impact"] in SERIOUS
        ]

    def _axe(self, options: dict[str, Any]) -> dict[str, Any]:
        """The report of axe, which is loaded once for a page."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        report: dict[str, Any] = self.page.evaluate("options => axe.run(options)", options)
        return report

    def is_wider_than_screen(self) -> bool:
        """Whether the page has to be moved sideways to be read."""
        script = "document.documentElement.scrollWidth > document.documentElement.clientWidth + 1"
        return bool(self.page.evaluate(script))

    def clipped(self) -> list[str]:
        """The beginnings of cells that do not show all of their text."""
        return list(self.page.evaluate(CLIPPED))

    def missed_by_tab(self) -> list[str]:
        """What the keyboard alone does not reach, or reaches without that one sees it."""
        number = int(self.page.evaluate(REMEMBER_CONTROLS))
        # Twice as often: some controls have several stops, such as the parts of a date.
        for _ in range(2 * number + 10):
            self.page.keyboard.press("Tab")
            if not self.page.evaluate("arrived()"):
                break
        return list(self.page.evaluate(MISSED))

    def keep_notes(self) -> None:
        """Have the page that is open leave what it says only for a moment, such as "Copied"."""
        # Only what takes a while: the browser has short timers of its own.
        self.page.evaluate(
            "const set = window.setTimeout;"
            "window.setTimeout = (what, ms, ...rest) => ms < 1000 ? set(what, ms, ...rest) : 0"
        )

    def labels(self) -> list[str]:
        """The headings and labels that are to be seen."""
        return list(self.page.evaluate(LABELS))

    def picture(self, path: Path) -> None:
        self.page.screenshot(path=path, animations="disabled")


@contextmanager
def browser() -> Iterator[Browser]:
    """A running browser."""
    chromium = system_tool("chromium", "chromium-browser", "google-chrome", package="chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()
