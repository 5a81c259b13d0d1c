"""A webhook endpoint in the admin: its events, its edits, its states, its secret."""

import re

from django.urls import reverse
from playwright.sync_api import expect

from tests.processes.admin_visits import ended_batch, first_of
from tests.processes.browser import Visitor
from tests.receivers import is_signed_with, receiving, url_of
from tests.scripted_server import ScriptedServer, answer
from tests.waiting import wait_until

ENDPOINTS = reverse("admin:batches_webhookendpoint_changelist")


def added(visitor: Visitor, url: str) -> str:
    """Create an endpoint; return the address of its page."""
    visitor.open(reverse("admin:batches_webhookendpoint_add"))
    visitor.page.fill("[name=name]", "Receiver")
    visitor.page.fill("[name=url]", url)
    visitor.page.click("button:has-text('Create')")
    visitor.page.wait_for_selector(".tp-secret")
    return first_of(visitor, ENDPOINTS)


def press(visitor: Visitor, label: str, *, asked: bool = False) -> None:
    page = visitor.page
    page.get_by_role("button", name=label, exact=True).click()
    if asked:
        page.locator("dialog").get_by_role("button", name=label, exact=True).click()


def is_noted(visitor: Visitor, endpoint: str) -> bool:
    """Open the page of an endpoint again, since it shows the state at its request."""
    visitor.open(endpoint)
    rows = visitor.page.locator("[aria-labelledby=deliveries] tbody tr")
    return "delivered" in "".join(rows.all_inner_texts())


def told_of_a_batch(visitor: Visitor, server: ScriptedServer, events: int) -> None:
    """Run a batch, and wait until the receiver has this number of events."""
    ended_batch(visitor)
    wait_until(lambda: len(server.requests) == events, f"{events} events")


def test_an_endpoint_is_edited_disabled_and_rotated(visitor: Visitor) -> None:
    page = visitor.page
    badge = page.locator("#endpoint .tp-badge")
    rows = page.locator("[aria-labelledby=deliveries] tbody tr")
    with receiving(answer(b"")) as server:
        endpoint = added(visitor, url_of(server, "/old"))
        visitor.open(endpoint)
        expect(badge).to_have_text("enabled")
        expect(rows).to_contain_text("Nothing was sent yet.")

        page.click("summary:has-text('Edit')")
        page.fill("[name=url]", url_of(server, "/new"))
        press(visitor, "Save")
        page.wait_for_selector("text=Webhook endpoint saved.")
        told_of_a_batch(visitor, server, 1)
        assert server.requests[0].path == "/new"
        # A worker notes it when the receiver has answered.
        wait_until(lambda: is_noted(visitor, endpoint), "the note of the delivery")
        expect(rows).to_contain_text("batch.completed")

        press(visitor, "Disable", asked=True)
        expect(badge).to_have_text("disabled")
        expect(page.locator("dt", has_text="Disabled")).to_be_visible()
        visitor.open(ENDPOINTS)
        expect(page.locator("#result_list tbody tr").first).to_contain_text("disabled")
        ended_batch(visitor)
        visitor.open(endpoint)
        expect(rows).to_have_count(1)
        press(visitor, "Enable")
        expect(badge).to_have_text("enabled")

        page.click("summary:has-text('Rotate')")
        page.uncheck("[name=keep_old]")
        press(visitor, "Rotate", asked=True)
        secret = page.locator(".tp-secret code").inner_text()
        told_of_a_batch(visitor, server, 2)
        assert is_signed_with(server.requests[1], secret)
        visitor.open(endpoint)
        expect(rows).to_have_count(2)
        expect(page.locator("body")).not_to_contain_text(secret)
        visitor.open(endpoint.replace("/change/", "/delete/"))
        page.get_by_role("button", name=re.compile("^Yes")).click()
        page.wait_for_selector("text=was deleted successfully")
