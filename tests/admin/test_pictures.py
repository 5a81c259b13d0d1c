"""The pictures in docs/admin; whether pages still look like them is asked in a browser test."""

import re

from tests.processes.admin_visits import PICTURES


def test_the_page_about_the_admin_shows_each_picture() -> None:
    page = (PICTURES.parent / "admin.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\(admin/(.+)\.png\)", page)
    assert sorted(shown) == sorted(path.stem for path in PICTURES.glob("*.png"))
    assert sorted(shown) == sorted(path.stem for path in PICTURES.glob("*.txt"))
