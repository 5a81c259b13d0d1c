"""What people do in the admin, for tests in a browser."""

import os

from tests.processes.api_stack import MODEL
from tests.processes.browser import Visitor
from tests.processes.stack import ROOT

# Pictures for the docs; beside each stands what there is to read on it.
PICTURES = ROOT / "docs" / "admin"
TAKEN_ANEW = bool(os.environ.get("THREEPHASE_SCREENSHOTS"))

ABOUT = "Capitals of the world"


def slow_prompts() -> list[str]:
    """Prompts with which a batch of two calls at once goes on for two and a half minutes, longer
    than a person looks at it; the test cancels it. More prompts would make the pages slow.
    """
    return [f"Slow {n} [simulate: latency=1]" for n in range(300)]


def preview_batch(visitor: Visitor, prompts: list[str], **fields: str) -> None:
    """Paste prompts and look at the preview."""
    visitor.open("/admin/batches/batch/add/")
    page = visitor.page
    page.fill("[name=prompts]", "\n".join(prompts))
    page.fill("[name=model]", MODEL)
    for details in page.locator("details.tp-card").all():
        details.evaluate("details => details.open = true")
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)
    page.click("text=Preview")
    page.wait_for_selector("#preview")


def start_batch(visitor: Visitor, prompts: list[str], **fields: str) -> None:
    """Preview and start; ends on the page of the batch."""
    preview_batch(visitor, prompts, **fields)
    if fields.get("name") == ABOUT:
        picture(visitor, "create")
    visitor.page.click("text=Start the batch")
    visitor.page.wait_for_selector("#live")


def wait_completed(visitor: Visitor) -> None:
    """Without a reload: the page finds out by itself."""
    visitor.page.wait_for_selector("[data-status=completed]")


def ended_batch(visitor: Visitor, **fields: str) -> str:
    """The address of a batch that has ended with a failure."""
    start_batch(visitor, ["Well?", "Bad [simulate: status=422]"], **fields)
    wait_completed(visitor)
    return visitor.page.url.removeprefix(visitor.address).removesuffix("change/")


def first_of(visitor: Visitor, list_path: str) -> str:
    """The address of the page of what is first in a list."""
    visitor.open(list_path)
    return str(visitor.page.locator("#result_list tbody th a").first.get_attribute("href"))


def picture(visitor: Visitor, name: str) -> None:
    """The page is still the one that the docs show; or it is taken anew, if that was asked for."""
    labels = PICTURES / f"{name}.txt"
    if TAKEN_ANEW:
        visitor.picture(PICTURES / f"{name}.png")
        labels.write_text("\n".join([*visitor.labels(), ""]))
    assert visitor.labels() == labels.read_text().splitlines(), "it has changed: make screenshots"
