"""Batches in the list and on their pages, as a person uses them: with the mouse, with the keyboard,
on a telephone, in the dark."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, expect

from tests.processes.admin_visits import slow_prompts, start_batch, wait_completed
from tests.processes.browser import NARROW, WIDE, Visitor

CHANGELIST = reverse("admin:batches_batch_changelist")


def row_of(visitor: Visitor, name: str) -> Locator:
    """The row of a batch in the list."""
    return visitor.page.locator("#result_list tr.data-row", has_text=name)


def looks_well(visitor: Visitor) -> list[object]:
    """What is wrong with the open page, in both themes and at both widths."""
    found: list[object] = []
    for size in (WIDE, NARROW):
        visitor.page.set_viewport_size(size)  # type: ignore[arg-type]  # a dict is one
        found += [fault for dark in (False, True) for fault in visitor.faults_of_page(dark=dark)]
        found += ["wider than the screen"] if visitor.is_wider_than_screen() else []
    found += visitor.clipped()
    visitor.page.set_viewport_size(WIDE)  # type: ignore[arg-type]  # a dict is one
    return found


def test_the_list_is_live_and_acts_on_the_chosen(visitor: Visitor) -> None:
    page = visitor.page
    start_batch(visitor, slow_prompts(), batch_size="2", name="Live one")
    visitor.open(CHANGELIST)
    page.evaluate("window.neverReloaded = true")
    row = row_of(visitor, "Live one")
    expect(row.locator("[data-status]")).to_have_text("Running")
    bar = row.locator(".tp-progress")
    seen = str(bar.get_attribute("aria-label"))
    expect(bar).not_to_have_attribute("aria-label", seen)
    # A batch that begins meanwhile appears, and Django's script counts it.
    other = page.context.new_page()
    start_batch(Visitor(other, visitor.address), slow_prompts(), batch_size="2", name="Another one")
    other.close()
    expect(row_of(visitor, "Another one")).to_be_visible()
    for name in ("Live one", "Another one"):
        row_of(visitor, name).locator(".action-select").check()
    expect(page.locator(".action-counter")).to_contain_text("2 of")
    # What is chosen stays chosen while the list asks for itself.
    with page.expect_response(lambda answer: answer.url.endswith(CHANGELIST)):
        pass
    expect(page.locator(".action-select:checked")).to_have_count(2)
    page.select_option("[name=action]", label="Cancel…")
    page.click("#changelist-actions button[type=submit]")
    expect(page.locator("h1", has_text="Cancel 2 batches?")).to_be_visible()
    assert looks_well(visitor) == []
    page.focus("#question button")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Cancelled: 2 batches.")
    expect(row_of(visitor, "Live one").locator("[data-status]")).to_have_text("Cancelled")


def test_a_batch_is_renamed_copied_found_and_exported(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start_batch(visitor, ["Well?"], name="Old name")
    wait_completed(visitor)
    page.focus(".tp-rename summary")
    page.keyboard.press("Enter")
    assert looks_well(visitor) == []
    page.fill("#rename [name=name]", "Letters of May")
    page.keyboard.press("Enter")
    expect(page.locator("h1.tp-title")).to_have_text("Letters of May")
    visitor.open(f"{CHANGELIST}?q=of may")
    expect(page.locator("#result_list tr.data-row")).to_have_count(1)
    visitor.keep_notes()
    row_of(visitor, "Letters of May").locator(".copy").click()
    expect(page.locator(".copy").first).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    page.locator(".action-select").check()
    page.select_option("[name=action]", label="Export as CSV")
    with page.expect_download() as download:
        page.click("#changelist-actions button[type=submit]")
    download.value.save_as(tmp_path / "results.zip")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "results.zip").read_bytes())) as archive:
        assert archive.namelist() == [f"{copied}.csv"]
        assert len(archive.read(f"{copied}.csv").splitlines()) == 2


def test_a_batch_is_run_again_with_changes(visitor: Visitor) -> None:
    page = visitor.page
    rows = "prompt\n" + "".join(f"Why {n}?\n" for n in range(3))
    visitor.open("/admin/batches/batch/add/")
    page.fill("[name=model]", "simulated-small")
    file = {"name": "why.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    page.set_input_files("[name=file]", file)  # type: ignore[arg-type]  # a dict is one
    page.click("text=Start without a preview")
    wait_completed(visitor)
    expect(page.locator("h1.tp-title")).to_have_text("why.csv")
    page.click("text=Run again with changes…")
    expect(page.locator("#kept")).to_contain_text("why.csv")
    expect(page.locator("[name=model]")).to_have_value("simulated-small")
    assert looks_well(visitor) == []
    page.fill("[name=parameters]", '{"temperature": 0.9}')
    page.click("text=Preview")
    expect(page.locator("#preview")).to_contain_text('"temperature": 0.9')
    page.click("text=Start the batch")
    wait_completed(visitor)
    expect(page.locator("#live .tp-progress").first).to_have_attribute("aria-label", "3 of 3 done")


def test_a_batch_is_paused_and_resumed(visitor: Visitor) -> None:
    page = visitor.page
    start_batch(visitor, slow_prompts(), batch_size="2", name="Paused one")
    page.wait_for_selector("#result-1")
    page.focus("#pause button")
    page.keyboard.press("Enter")
    expect(page.locator("#state-title")).to_contain_text("Paused: by staff")
    expect(page.locator(".tp-timeline")).to_contain_text("Batch paused")
    assert looks_well(visitor) == []
    page.click("text=Resume")
    expect(page.locator("#state-title")).to_contain_text("Running")
    page.click("text=Cancel batch")
    page.click("dialog >> text=Cancel batch")
    page.wait_for_selector("[data-status=cancelled]")
    expect(page.locator("#retry-rest")).to_contain_text("Run the other")
    assert looks_well(visitor) == []
    page.click("#retry-rest button")
    page.click("dialog >> text=Run the other")
    expect(page.locator("#state-title")).to_contain_text(re.compile("Running|Waiting"))
    page.click("text=Cancel batch")
    page.click("dialog >> text=Cancel batch")
    page.wait_for_selector("[data-status=cancelled]")


@pytest.mark.parametrize("search", ["needle", "nothing like it"])
def test_results_are_searched(visitor: Visitor, search: str) -> None:
    page = visitor.page
    start_batch(visitor, [*(f"Hay {n}" for n in range(20)), "A needle"], name="Searched")
    wait_completed(visitor)
    page.click("text=All results")
    page.fill("[name=text]", search)
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("among 21 results searched")
    expect(page.locator("tbody tr[id]")).to_have_count(1 if search == "needle" else 0)
    assert looks_well(visitor) == []


def test_one_result_is_copied_and_retried(visitor: Visitor) -> None:
    page = visitor.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start_batch(visitor, ["Bad [simulate: status=422 times=1]", "Well?"], name="One of two")
    wait_completed(visitor)
    page.click("#result-0 a")
    page.wait_for_selector("[aria-label='Copy the request']")
    visitor.keep_notes()
    page.click("[aria-label='Copy the request']")
    expect(page.locator("[aria-label='Copy the request']")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("Bad [simulate")
    assert looks_well(visitor) == []
    page.click("text=Retry this prompt")
    page.click("dialog >> text=Retry this prompt")
    wait_completed(visitor)
    expect(page.locator("#live .tp-progress").first).to_have_attribute("aria-label", "2 of 2 done")


def tab_to(visitor: Visitor, name: str) -> None:
    """Press the tab key until the control of this name has the focus."""
    named = "() => (document.activeElement.labels?.[0] || document.activeElement).innerText.trim()"
    for _ in range(100):
        visitor.page.keyboard.press("Tab")
        if str(visitor.page.evaluate(named)).removesuffix(" *") == name:
            return
    raise AssertionError(f"the tab key does not reach {name}")


def test_a_batch_is_made_and_retried_with_the_keyboard_alone(visitor: Visitor) -> None:
    page, keys = visitor.page, visitor.page.keyboard
    visitor.open(reverse("admin:index"))
    tab_to(visitor, "New batch")
    keys.press("Enter")
    page.wait_for_selector("#new-batch")
    tab_to(visitor, "Paste prompts")
    keys.type("Of the keyboard [simulate: status=422 times=1]")
    tab_to(visitor, "Model")
    keys.type("simulated-small")
    tab_to(visitor, "Preview")
    keys.press("Enter")
    page.wait_for_selector("#preview")
    tab_to(visitor, "Start the batch")
    keys.press("Enter")
    wait_completed(visitor)
    tab_to(visitor, "Retry 1 failed")
    keys.press("Enter")
    # The answer that costs nothing comes first.
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.get_by_text("1 of 1", exact=True)).to_be_visible()
