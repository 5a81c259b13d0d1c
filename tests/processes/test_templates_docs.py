"""The steps of docs/templates.md in the admin are followed as they stand."""

import csv
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.command_line import ROOT
from tests.processes.browser import Visitor
from tests.processes.test_first_hour import Reader

PAGE = (ROOT / "docs" / "templates.md").read_text()
[TABLE] = re.findall(r"^```csv\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STEPS = re.findall(r"^\d+\. (.*)$", PAGE.partition("## In the admin")[2], re.MULTILINE)
[COLUMNS] = re.findall(r"^```text\n(.*)\n```$", PAGE, re.MULTILINE)


def test_the_steps_in_the_admin(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text(TABLE)
    visitor.open("/admin/")
    reader = Reader(visitor.page, tmp_path)
    for step in STEPS:
        reader.follow(step)
    expect(visitor.page.locator("[name=user_part]")).to_have_value(
        "Summarise in three words: {{ review }}"
    )
    with (tmp_path / "downloaded").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert ",".join(header) == COLUMNS
    given = list(csv.reader(TABLE.splitlines(), delimiter=";"))
    assert [row[:3] for row in rows] == given[1:]
    assert [row[4] for row in rows] == ["succeeded", "succeeded"]
