"""What people and models write stays text in a browser, where pieces of pages come and go."""

from django.urls import reverse
from playwright.sync_api import expect

from tests.admin.hostile import HOSTILE, SCRIPT
from tests.processes.admin_visits import start_batch, wait_completed
from tests.processes.api_stack import ApiServer
from tests.processes.browser import Visitor

# Elements that only hostile text could have made, and what it does if it ever runs. Scripts that
# the content policy forbids are complaints of the visitor besides.
INJECTED = """
() => [
  ...document.querySelectorAll('img[src=x], [x-init="hacked=1"], [hx-get="/hacked"]'),
  ...[...document.querySelectorAll("a")].filter((link) => link.protocol === "javascript:"),
  ...[...document.scripts].filter((script) => script.text.includes("hacked")),
].map((one) => one.outerHTML).concat(window.hacked ? ["it ran"] : [])
"""


def injected(visitor: Visitor) -> list[str]:
    return list(visitor.page.evaluate(INJECTED))


def has_come_anew(visitor: Visitor, piece: str) -> None:
    """Wait for a piece of the page that refreshes itself, having thrown it away."""
    visitor.page.evaluate("piece => document.querySelector(piece).replaceChildren()", piece)
    expect(visitor.page.locator(piece)).to_contain_text(SCRIPT)


def test_pages_that_are_hostile_throughout(reader: Visitor, still_server: ApiServer) -> None:
    found = {}
    for path in still_server.driver("make_hostile"):
        if path.endswith("/live/"):
            continue  # a piece of the page of its batch, where it is waited for
        reader.open(path)
        for piece in ("#live[hx-get]", "#dashboard"):
            if reader.page.locator(piece, has_text=SCRIPT).count():
                has_come_anew(reader, piece)
        found[path] = injected(reader)
    assert {path: elements for path, elements in found.items() if elements} == {}


def test_a_question_before_a_click_is_text(reader: Visitor) -> None:
    page = reader.page
    reader.open(reverse("admin:index"))
    page.evaluate(
        """text => {
          const form = document.createElement("form");
          form.dataset.confirm = text;
          const button = form.appendChild(document.createElement("button"));
          button.textContent = text;
          document.body.append(form);
          button.click();
        }""",
        HOSTILE,
    )
    expect(page.locator("dialog p")).to_have_text(HOSTILE)
    expect(page.locator("dialog [value=yes]")).to_have_text(HOSTILE)
    assert injected(reader) == []


def test_prompts_and_answers_that_came_all_the_way(visitor: Visitor) -> None:
    page = visitor.page
    start_batch(visitor, [HOSTILE], name=HOSTILE[:255])
    wait_completed(visitor)
    assert injected(visitor) == []
    page.click("#live tbody a")
    expect(page.locator(".tp-turn").first).to_contain_text(HOSTILE)
    assert injected(visitor) == []
    visitor.open(reverse("admin:batches_batch_changelist"))
    assert injected(visitor) == []
