"""IDs, tokens and secrets are copied with a button."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.processes.browser import Visitor

# What a browser has on a page of plain HTTP from another machine.
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"


@pytest.mark.parametrize("script", ["", NO_CLIPBOARD], ids=["clipboard", "selection"])
def test_a_new_token_is_copied_with_the_keyboard(visitor: Visitor, script: str) -> None:
    page = visitor.page
    visitor.open(reverse("admin:batches_apitoken_add"))
    page.click("button:has-text('Create')")
    secret = page.locator(".tp-secret code").inner_text()
    page.evaluate(script)
    visitor.keep_notes()
    button = page.get_by_role("button", name="Copy the secret")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_text("Copied")
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
    expect(button).to_be_focused()
    # It goes where people paste it.
    visitor.open(reverse("admin:batches_batch_add"))
    page.focus("[name=prompts]")
    page.keyboard.press("Control+V")
    expect(page.locator("[name=prompts]")).to_have_value(secret)
