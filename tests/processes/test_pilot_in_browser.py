"""A pilot in the browser: from the form to the report, on to the whole batch."""

from playwright.sync_api import expect

from tests.processes.admin_visits import start_batch, wait_completed
from tests.processes.browser import Visitor
from tests.processes.test_batches_in_browser import looks_well

FAILS_ONCE = "[simulate: status=500 times=1]"


def test_a_pilot_is_read_retried_and_let_go_on(visitor: Visitor) -> None:
    page = visitor.page
    texts = [f"Question {n} {FAILS_ONCE if n == 7 else ''}" for n in range(20)]
    start_batch(visitor, texts, pilot="4", max_attempts="1")
    # The page finds out by itself that the pilot is done.
    card = page.locator("#pilot")
    expect(card).to_contain_text("4 prompts, 1 failed (server 1)")
    expect(card).to_contain_text("for all 20 prompts")
    expect(card.locator("tbody tr")).to_have_count(4)
    expect(page.locator("[data-status]").first).to_have_text("Paused: pilot done")
    assert looks_well(visitor) == []
    card.get_by_role("button", name="Retry 1 failed").click()
    page.locator("dialog").get_by_role("button", name="Retry 1 failed").click()
    expect(card).to_contain_text("4 prompts, 0 failed")
    card.get_by_role("button", name="Go on with the other 16").click()
    wait_completed(visitor)
    expect(card.get_by_role("button")).to_have_count(0)
