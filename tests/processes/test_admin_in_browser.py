"""A person logs in, adds a provider, makes batches, watches them, and takes the results home."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.processes.admin_visits import ABOUT, picture, slow_prompts, start_batch, wait_completed
from tests.processes.api_stack import MODEL, ApiStack
from tests.processes.browser import Visitor

# Not the end of "50 of 100".
NONE_DONE = re.compile(r"(?<!\d)0 of 100")


def look_at_dashboard(visitor: Visitor) -> None:
    """In another tab, while the batch runs."""
    tab = visitor.page.context.new_page()
    other = Visitor(tab, visitor.address)
    other.open("/admin/")
    expect(tab.locator("#dashboard tbody")).to_contain_text(ABOUT)
    expect(tab.locator("#dashboard")).to_contain_text("last heartbeat")
    # The page finds out by itself that some are done.
    expect(tab.locator("#dashboard tbody")).not_to_contain_text(NONE_DONE)
    picture(other, "dashboard")
    tab.close()
    assert other.complaints == []


def test_a_provider_is_added_and_its_connection_tested(
    visitor: Visitor, api_stack: ApiStack
) -> None:
    page = visitor.page
    visitor.open("/admin/batches/provider/add/")
    page.fill("[name=name]", "added by hand")
    page.fill("[name=base_url]", api_stack.simulator.base_url)
    page.fill("[name=api_key]", "sk-never-shown-again-0123456789")
    page.click("[name=_save]")
    page.click("text=Test connection")
    expect(page.locator("#probe")).to_contain_text("Connected:")
    assert "sk-never-shown" not in page.content()


def test_pasted_prompts_run_and_what_failed_is_retried(
    visitor: Visitor, api_stack: ApiStack, tmp_path: Path
) -> None:
    page = visitor.page
    slow = [f"Capital number {n}? [simulate: latency=lognormal:0.4,0.6]" for n in range(96)]
    failing = [f"Bad {n} [simulate: status=422 times=1]" for n in range(4)]
    # It runs until the test has looked at the dashboard.
    with api_stack.simulator.holding("Capital number", after=20):
        start_batch(visitor, slow + failing, batch_size="8", name=ABOUT)
        page.evaluate("window.neverReloaded = true")
        look_at_dashboard(visitor)
    wait_completed(visitor)
    assert page.evaluate("window.neverReloaded"), "it was reloaded to find out"
    expect(page.locator(".tp-failure")).to_contain_text("4 prompts")
    picture(visitor, "detail")
    page.click(".tp-failure >> text=Show")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.click("text=Back to the batch")
    page.click("text=Retry these")
    expect(page.locator("dialog")).to_contain_text("Send 4 prompts that failed with request again?")
    page.click("dialog >> text=Retry these")
    # First the page as it was before has to go: that one is completed, too.
    expect(page.locator(".tp-failure")).to_have_count(0)
    wait_completed(visitor)
    expect(page.locator("#live .tp-progress").first).to_have_attribute(
        "aria-label", "100 of 100 done"
    )
    assert page.locator(".tp-failure").count() == 0
    for name, lines in (("JSONL", 100), ("CSV", 101)):
        with page.expect_download() as download:
            page.click(f"text={name} >> visible=true")
        target = tmp_path / name
        download.value.save_as(target)
        assert len(target.read_text(encoding="utf-8-sig").splitlines()) >= lines
    visitor.open("/admin/batches/batch/")
    picture(visitor, "list")


def test_a_refresh_leaves_focus_and_scrolling_alone(visitor: Visitor) -> None:
    page = visitor.page
    page.set_viewport_size({"width": 700, "height": 860})
    start_batch(visitor, slow_prompts(), batch_size="2")
    page.wait_for_selector("#result-1")
    page.focus("#result-0 a")
    page.evaluate("document.querySelector('#results .tp-scroll').scrollLeft = 40")
    page.evaluate("window.focused = document.activeElement")
    progress = page.locator("#live .tp-progress").first
    seen = str(progress.get_attribute("aria-label"))
    expect(progress).not_to_have_attribute("aria-label", seen)
    assert page.evaluate("document.activeElement === window.focused && focused.isConnected")
    assert page.evaluate("document.querySelector('#results .tp-scroll').scrollLeft") == 40
    page.click("text=Cancel batch")
    page.click("dialog >> text=Keep running")
    expect(page.locator("[data-status=in_progress]")).to_be_visible()
    page.click("text=Cancel batch")
    page.click("dialog >> text=Cancel batch")
    page.wait_for_selector("[data-status=cancelled]")
    assert page.locator("#live[hx-get]").count() == 0


# What a press does to the buttons of the form, if it were not sent; then the page is gone back to.
PRESS = """async () => {
    const form = document.getElementById("new-batch");
    form.addEventListener("submit", (event) => event.preventDefault(), {once: true});
    const buttons = [...form.querySelectorAll("button")];
    buttons[0].click();
    await new Promise((resolve) => setTimeout(resolve));
    const pressed = buttons.map((button) => button.disabled);
    window.dispatchEvent(new Event("pageshow"));
    return [...pressed, ...buttons.map((button) => !button.disabled)];
}"""


# What a form would send: the length of what is pasted, of the file, and the file's name.
SENT = """([length, chosen]) => {
    const form = document.getElementById("new-batch");
    form.elements.prompts.value = "ä".repeat(length);
    if (chosen) {
        const files = new DataTransfer();
        files.items.add(new File(["why"], chosen));
        form.elements.file.files = files.files;
    }
    const sent = new FormData(form);
    return [sent.get("prompts").length, sent.get("file").size, sent.get("file").name];
}"""


def test_what_is_too_long_to_be_pasted_goes_as_a_file(visitor: Visitor) -> None:
    visitor.open("/admin/batches/batch/add/")
    most = 10_000_000
    for given, sent in (
        ([most, ""], [most, 0, ""]),
        ([most + 1, ""], [0, 2 * (most + 1), "pasted.txt"]),
        # Both at once are refused, as they are when they are short.
        ([most + 1, "why.txt"], [most + 1, 3, "why.txt"]),
    ):
        assert visitor.page.evaluate(SENT, given) == sent


def test_a_batch_is_made_of_a_csv_file(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/admin/batches/batch/add/")
    rows = "custom_id,prompt\n" + "".join(f"q{n},Why {n}?\n" for n in range(20))
    page.fill("[name=model]", MODEL)
    page.set_input_files(
        "[name=file]", {"name": "why.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    # Nothing but the model and the file: a file may not change what else is in the form.
    expect(page.locator("[name=column]")).to_have_value("prompt")
    page.click("text=Preview")
    expect(page.locator("#preview")).to_contain_text("Why 0?")
    assert all(page.evaluate(PRESS)), "a form could be sent twice, or not at all after a return"
    page.click("text=Start the batch")
    wait_completed(visitor)
    expect(page.locator("#live .tp-progress").first).to_have_attribute(
        "aria-label", "20 of 20 done"
    )


def test_the_form_offers_columns_and_models(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/admin/batches/batch/add/")
    rows = b"id;question\n1;Why?\n"
    page.set_input_files("[name=file]", {"name": "why.csv", "mimeType": "text/csv", "buffer": rows})
    column = page.locator("select[name=column]")
    expect(column).to_have_value("question")
    expect(column.locator("option")).to_have_text(["question", "id"])
    page.fill("[name=system]", "Answer in one word.")
    page.fill("[name=model]", MODEL)
    page.click("text=Preview")
    expect(page.locator("#preview")).to_contain_text("Answer in one word.")
    expect(page.locator("[name=system]")).to_have_value("Answer in one word.")
    expect(column).to_have_value("question")
    # Of another provider other models are suggested.
    visitor.open("/admin/batches/provider/add/")
    page.fill("[name=name]", "with models of its own")
    page.fill("[name=base_url]", "http://localhost:9/v1")
    page.fill("[name=model_names]", "own-model")
    page.click("[name=_save]")
    visitor.open("/admin/batches/batch/add/")
    page.select_option("[name=provider]", label="with models of its own (not tried)")
    suggested = "[...document.querySelector('[name=model]').list.options].map((one) => one.value)"
    assert page.evaluate(suggested) == ["own-model"]


def focused(visitor: Visitor) -> str:
    return str(visitor.page.evaluate("document.activeElement.textContent"))


def test_a_question_is_answered_with_the_keyboard(visitor: Visitor) -> None:
    page = visitor.page
    start_batch(visitor, slow_prompts(), batch_size="2")
    page.focus("#cancel button")
    for leave in ("Escape", "Enter"):
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog", name="Cancel this batch?")).to_be_visible()
        # What is taken for granted costs nothing.
        assert focused(visitor) == "Keep running"
        page.keyboard.press(leave)
        expect(page.locator("dialog")).to_have_count(0)
        assert focused(visitor) == "Cancel batch"
    expect(page.locator("[data-status=in_progress]")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-status=cancelled]")
    page.focus("#retry-rest button")
    button = focused(visitor)
    assert button.startswith("Run the other")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="never ran? You will be charged")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(visitor) == button
    # Beyond the last answer nothing of the page below is reached.
    page.keyboard.press("Tab")
    assert focused(visitor) not in {"JSONL", "Cancel batch"}
    page.keyboard.press("Escape")
    expect(page.locator("[data-status=cancelled]")).to_be_visible()
    assert focused(visitor) == button
