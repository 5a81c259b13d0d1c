"""From a table to a table in a browser: a messy CSV, a template, a pilot, the same table back."""

import csv
import io
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from tests.admin.hostile import HOSTILE, SCRIPT
from tests.processes.admin_visits import wait_completed
from tests.processes.api_stack import MODEL
from tests.processes.browser import Visitor
from tests.processes.test_batches_in_browser import looks_well
from tests.processes.test_hostile_text_in_browser import injected

ROWS, PILOT = 5_000, 50
NEW_COLUMNS = ("answer", "status", "kind", "input_tokens", "output_tokens", "cost", "latency_s")
PIECES = (
    *("Gut, aber „laut“", 'sagt "5 €"', "eine;zwei;drei", "Zeile\nnoch eine", "", " Rand ", "ß"),
    *("=SUMME(A1)", "-3", "007", "1,5", "<b>fett</b>", "{{ nichts }}", "'", "\t"),
)


# Remembers how much of the chosen file is sent.
REMEMBER_SIZE = """
() => {
  const send = window.fetch;
  window.fetch = (address, options) => {
    window.sentBytes = options.body.get("file").size;
    return send(address, options);
  };
}
"""


def messy_table() -> list[list[str]]:
    """Rows of cells with all that spreadsheets put into them."""
    dice = random.Random(7)
    header = ["Nr", "review", "stars", "my note", "Größe"]
    rows = [
        [str(n), f"Nr {n}: {dice.choice(PIECES)}", *(dice.choice(PIECES) for _ in range(3))]
        for n in range(ROWS)
    ]
    return [header, *rows]


def as_excel_saves(table: list[list[str]]) -> bytes:
    target = io.StringIO()
    csv.writer(target, delimiter=";").writerows(table)
    return target.getvalue().encode("cp1252")


def choose(page: Page, content: bytes, name: str = "reviews.csv") -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": content}
    page.set_input_files("[name=file]", file)  # type: ignore[arg-type]  # a dict is one


def first_prompts(page: Page) -> Locator:
    return page.locator("#first-prompts pre")


def open_form(visitor: Visitor, content: bytes) -> Page:
    """The form with a table, whose columns are shown."""
    visitor.open(reverse("admin:batches_batch_add"))
    choose(visitor.page, content)
    expect(visitor.page.locator("#rows h3").first).to_have_text("Columns")
    return visitor.page


def test_a_messy_table_comes_back_with_new_columns(visitor: Visitor, tmp_path: Path) -> None:
    table = messy_table()
    page = open_form(visitor, as_excel_saves(table))
    expect(page.locator("#rows [data-insert]")).to_have_text(table[0])
    assert looks_well(visitor) == []

    # An unknown column is shown at the field while it is written, then it is corrected.
    page.fill("[name=system_part]", "You read reviews.")
    page.fill("[name=user_part]", "Rate: {{ reviw }}")
    fault = page.locator("#id_user_part_error")
    expect(fault).to_contain_text("row 1: There is no column 'reviw'. Did you mean 'review'?")
    expect(fault).to_contain_text("'my note'")
    expect(page.locator("[name=user_part]")).to_have_attribute("aria-invalid", "true")
    assert looks_well(visitor) == []
    page.fill("[name=user_part]", "Rate: ")
    page.get_by_role("button", name="review", exact=True).click()
    expect(page.locator("[name=user_part]")).to_have_value("Rate: {{ review }}")
    expect(first_prompts(page)).to_have_count(10)
    expect(first_prompts(page).nth(1)).to_have_text(f"Rate: {table[1][1]}")
    expect(fault).to_have_count(0)
    assert looks_well(visitor) == []
    assert visitor.missed_by_tab() == []

    page.fill("[name=template_label]", "reviews of a machine")
    page.fill("[name=model]", MODEL)
    page.click("summary:has-text('Options')")
    page.fill("[name=pilot]", str(PILOT))
    page.click("text=Preview")
    expect(page.locator("#preview")).to_contain_text(f"{ROWS:,}")
    expect(first_prompts(page)).to_have_count(10)
    page.click("text=Start the batch")
    card = page.locator("#pilot")
    expect(card).to_contain_text(f"{PILOT} prompts, 0 failed")
    expect(page.locator("[data-status]").first).to_have_text("Paused: pilot done")
    expect(page.locator(".tp-head-facts")).to_contain_text("reviews of a machine v1")
    assert looks_well(visitor) == []
    card.get_by_role("button", name=f"Go on with the other {ROWS - PILOT:,}").click()
    wait_completed(visitor)
    with downloaded(page, "CSV", tmp_path).open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    assert [line[: len(table[0])] for line in lines] == table
    assert tuple(lines[0][len(table[0]) :]) == NEW_COLUMNS
    assert all(line[len(table[0])] and line[len(table[0]) + 1] == "succeeded" for line in lines[1:])
    columnar = pq.read_table(downloaded(page, "Parquet", tmp_path))
    assert columnar.column_names == lines[0]
    texts = [column.to_pylist() for column in columnar.columns[: len(table[0]) + 2]]
    assert list(map(list, zip(*texts, strict=True))) == [line[: len(texts)] for line in lines[1:]]


def downloaded(page: Page, link: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name=link, exact=True).click()
    path = folder / link
    download.value.save_as(path)
    return path


def test_a_large_file_is_previewed_at_its_beginning(visitor: Visitor) -> None:
    rows = "".join(f'{n};"{"x" * 300}\n{n}"\n' for n in range(30_000))
    page = open_form(visitor, f"Nr;text\n{rows}".encode())
    page.evaluate(REMEMBER_SIZE)
    page.fill("[name=user_part]", "{{ Nr }}")
    expect(first_prompts(page)).to_have_text(["0", "1", "2", "3", "4"])
    expect(page.locator("#rows .tp-note")).to_have_count(0)
    assert page.evaluate("window.sentBytes") == 256 * 1024


def test_a_template_is_kept_changed_and_used_again(visitor: Visitor) -> None:
    page = open_form(visitor, b"a;b\n1;2\n3;4\n")
    page.fill("[name=user_part]", "First {{ a }}\nand so on")
    page.fill("[name=template_label]", "kept one")
    page.fill("[name=model]", MODEL)
    page.click("text=Start without a preview")
    wait_completed(visitor)

    # A choice in the form fills in the fields.
    page = open_form(visitor, b"a;b\n5;6\n")
    page.select_option("[name=template]", label="kept one v1")
    expect(page.locator("[name=user_part]")).to_have_value("First {{ a }}\nand so on")
    expect(first_prompts(page)).to_have_text(["First 5\nand so on"])
    page.fill("[name=user_part]", "Second {{ b }}\nand so on")
    expect(first_prompts(page)).to_have_text(["Second 6\nand so on"])
    page.fill("[name=model]", MODEL)
    page.click("text=Start without a preview")
    wait_completed(visitor)
    expect(page.locator("#changes ins")).to_have_text("added: + Second {{ b }}")
    expect(page.locator("#changes del")).to_have_text("removed: - First {{ a }}")
    assert looks_well(visitor) == []

    # The library shows both versions; the older one is used again.
    page.click("text=kept one v2")
    expect(page.locator("h1.tp-title")).to_have_text("kept one v2")
    assert looks_well(visitor) == []
    assert visitor.missed_by_tab() == []
    page.locator("#versions").get_by_text("v1", exact=True).click()
    expect(page.locator("h1.tp-title")).to_have_text("kept one v1")
    page.click("text=Use in a new batch")
    expect(page.locator("[name=user_part]")).to_have_value("First {{ a }}\nand so on")
    visitor.open(f"{reverse('admin:batches_template_changelist')}?q=kept")
    row = page.locator("#result_list tr.data-row")
    expect(row).to_have_count(1)
    expect(row.locator(".field-versions")).to_have_text("v2")
    expect(row.locator(".field-used")).to_have_text("2")
    assert looks_well(visitor) == []


def test_hostile_tables_and_templates_stay_text(visitor: Visitor) -> None:
    target = io.StringIO()
    csv.writer(target, delimiter=";").writerows([["a", HOSTILE], [HOSTILE, HOSTILE]])
    page = open_form(visitor, target.getvalue().encode())
    for template in (f"{{{{ a }}}}{HOSTILE}", f"{{{{ {HOSTILE} }}}}"):
        page.fill("[name=user_part]", template)
        expect(page.locator("#rows, .tp-errors", has_text=SCRIPT).first).to_be_visible()
        assert injected(visitor) == []


@pytest.mark.parametrize("name", ["why.txt", "why.pdf"])
def test_what_is_no_table_opens_no_template(visitor: Visitor, name: str) -> None:
    page = visitor.page
    visitor.open(reverse("admin:batches_batch_add"))
    with page.expect_response(lambda answer: "/rows/" in answer.url):
        choose(page, b"Why?\nWhat?\n", name)
    expect(page.locator("#rows [data-insert]")).to_have_count(0)
    expect(page.locator("[name=user_part]")).to_be_hidden()
