"""Pages of the admin in each state: for who does not see them, in the dark, on a telephone."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from tests.admin.hostile import LONG
from tests.processes.admin_visits import ended_batch, first_of, preview_batch, start_batch
from tests.processes.api_stack import ApiServer
from tests.processes.browser import NARROW, WIDE, Visitor
from tests.processes.conftest import PASSWORD, serving_staff, visiting_as

# A test visits one part of the pages, since all of them take minutes.
PARTS = 10
PART = pytest.mark.parametrize("part", range(PARTS))
SIZES = {"wide": WIDE, "narrow": NARROW}
SIZE = pytest.mark.parametrize("size", SIZES)


@pytest.fixture(scope="module")
def pages(still_server: ApiServer) -> list[str]:
    """The addresses of all pages, with long texts; searches for hostile text are like others."""
    made: list[str] = still_server.driver("make_hostile")
    return [page for page in made if "script" not in page and not page.endswith("/live/")]


@dataclass
class Found:
    """What is wrong with some pages: at each size, and for who has no mouse."""

    looks: dict[str, list[object]] = field(default_factory=lambda: {size: [] for size in SIZES})
    missed: list[object] = field(default_factory=list)

    def look(self, visitor: Visitor, path: str) -> None:
        """Open a page once: its scripts and styles take longer than any question about it."""
        visitor.open(path)
        for size, pixels in SIZES.items():
            visitor.page.set_viewport_size(pixels)  # type: ignore[arg-type]  # a dict is one
            self.looks[size] += faults(visitor)
            if visitor.is_wider_than_screen():
                self.looks[size].append((path, "wider than the screen"))
            if size == "narrow":
                self.looks[size] += [(path, cell) for cell in visitor.clipped()]
        visitor.page.set_viewport_size(WIDE)  # type: ignore[arg-type]  # a dict is one
        self.missed += [(path, one) for one in visitor.missed_by_tab()]


@pytest.fixture(scope="module")
def found(
    still_server: ApiServer, chrome: Browser, pages: list[str]
) -> Iterator[Callable[[int], Found]]:
    """What is wrong with a part of the pages; they are visited by the first test that asks."""
    with visiting_as(chrome, still_server, "ada") as visitor:

        @cache
        def of_part(part: int) -> Found:
            seen = Found()
            for path in pages[part::PARTS]:
                seen.look(visitor, path)
            assert visitor.complaints == []
            return seen

        yield of_part


def faults(visitor: Visitor) -> list[tuple[str, bool, str]]:
    """What is wrong with the page that is open, in both themes."""
    address = visitor.page.url
    return [
        (address, dark, fault)
        for dark in (False, True)
        for fault in visitor.faults_of_page(dark=dark)
    ]


@PART
@SIZE
def test_pages_pass_axe_in_both_themes_and_fit(
    found: Callable[[int], Found], size: str, part: int
) -> None:
    assert found(part).looks[size] == []


@PART
def test_everything_on_a_page_is_reached_with_the_tab_key(
    found: Callable[[int], Found], part: int
) -> None:
    assert found(part).missed == []


# -- pages of errors


def assert_error_is_well(visitor: Visitor, path: str, status: int, title: str) -> None:
    """The page itself is an error, and nothing that it loads."""
    visitor.open(path)
    visitor.page.wait_for_selector(f"text={title}")
    assert all(str(status) in one for one in visitor.complaints), visitor.complaints
    visitor.complaints.clear()
    assert faults(visitor) == []
    for size in (NARROW, WIDE):
        visitor.page.set_viewport_size(size)  # type: ignore[arg-type]  # a dict is one
        assert not visitor.is_wider_than_screen()
    assert visitor.missed_by_tab() == []


def test_what_is_not_there_or_not_allowed_is_told_well(
    still_server: ApiServer, chrome: Browser
) -> None:
    still_server.driver("staff", username="ben", password=PASSWORD, permissions=["view_batch"])
    with visiting_as(chrome, still_server, "ben") as visitor:
        missing = f"{reverse('admin:batches_batch_changelist')}999999/change/"
        assert_error_is_well(visitor, missing, 404, "Page not found")
        assert_error_is_well(visitor, reverse("admin:batches_provider_add"), 403, "No permission")


def test_a_failure_of_the_server_is_told_well(tmp_path: Path, chrome: Browser) -> None:
    with (
        serving_staff(tmp_path / "var") as server,
        visiting_as(chrome, server, "ada") as visitor,
    ):
        with closing(sqlite3.connect(tmp_path / "var" / "db.sqlite3")) as database:
            database.execute("DROP TABLE django_session")
        assert_error_is_well(visitor, reverse("admin:index"), 500, "Server error")


def test_a_preview_fits_a_telephone(visitor: Visitor) -> None:
    preview_batch(visitor, [LONG])
    visitor.page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a dict is one
    assert not visitor.is_wider_than_screen()
    assert visitor.clipped() == []


def test_the_list_of_batches_fits_a_laptop(visitor: Visitor) -> None:
    ended_batch(visitor, name=LONG)
    visitor.open(reverse("admin:batches_batch_changelist"))
    right = "document.querySelector('td.field-spent').getBoundingClientRect().right"
    assert visitor.page.evaluate(right) <= visitor.page.evaluate("window.innerWidth")


# -- pages that somebody has done something on


def batch_errors(visitor: Visitor) -> None:
    visitor.open(reverse("admin:batches_batch_add"))
    visitor.page.click("text=Start without a preview")
    visitor.page.wait_for_selector(".tp-errors")


def preview(visitor: Visitor) -> None:
    preview_batch(visitor, ["Well?"])


def endpoint_errors(visitor: Visitor) -> None:
    visitor.open(reverse("admin:batches_webhookendpoint_add"))
    for box in visitor.page.locator("[name=event_types]").all():
        box.uncheck()
    visitor.page.click("button:has-text('Create')")
    visitor.page.wait_for_selector("fieldset .tp-errors")


def provider_errors(visitor: Visitor) -> None:
    visitor.open(reverse("admin:batches_provider_add"))
    visitor.page.click("[name=_save]")
    visitor.page.wait_for_selector(".errors")


def make_token(visitor: Visitor) -> None:
    visitor.open(reverse("admin:batches_apitoken_add"))
    visitor.page.fill("[name=name]", LONG)
    visitor.page.click("button:has-text('Create')")
    visitor.page.wait_for_selector(".tp-secret")


def make_endpoint(visitor: Visitor) -> None:
    visitor.open(reverse("admin:batches_webhookendpoint_add"))
    visitor.page.fill("[name=name]", LONG[:100])
    visitor.page.fill("[name=url]", "https://receiver.example/hook")
    visitor.page.click("button:has-text('Create')")
    visitor.page.wait_for_selector(".tp-secret")


def endpoint_edited(visitor: Visitor) -> None:
    """All sections of the page are open, and one field is wrong."""
    make_endpoint(visitor)
    visitor.open(first_of(visitor, reverse("admin:batches_webhookendpoint_changelist")))
    visitor.page.click("summary:has-text('Rotate')")
    visitor.page.click("summary:has-text('Edit')")
    visitor.page.fill("[name=url]", "ftp://nowhere")
    visitor.page.click("button:has-text('Save')")
    visitor.page.wait_for_selector(".tp-errors")


def deleting(visitor: Visitor) -> None:
    make_token(visitor)
    page = first_of(visitor, reverse("admin:batches_apitoken_changelist"))
    visitor.open(page.replace("/change/", "/delete/"))


def live(visitor: Visitor) -> None:
    start_batch(visitor, [f"Slow {n} [simulate: latency=0.5]" for n in range(200)], batch_size="2")
    visitor.page.wait_for_selector("#result-1")


def a_question(visitor: Visitor) -> None:
    live(visitor)
    visitor.page.click("text=Cancel batch")
    visitor.page.wait_for_selector("dialog")


def nothing_found(visitor: Visitor) -> None:
    visitor.open(f"{reverse('admin:batches_batch_changelist')}?q=nothing-like-this")
    visitor.page.wait_for_selector("text=No batches match.")


def login(visitor: Visitor) -> None:
    visitor.page.context.clear_cookies()
    visitor.open(reverse("admin:login"))
    visitor.page.fill("[name=username]", "ada")
    visitor.page.fill("[name=password]", "wrong")
    visitor.page.click("button[type=submit]")
    visitor.page.wait_for_selector("text=Please enter the correct")


STATES = (
    *(batch_errors, preview, endpoint_errors, provider_errors, make_token, deleting),
    *(endpoint_edited, live, a_question, nothing_found, login),
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_states_pass_axe(visitor: Visitor, state: Callable[[Visitor], None]) -> None:
    state(visitor)
    assert faults(visitor) == []


def test_what_is_paused_passes_axe(visitor: Visitor) -> None:
    live(visitor)
    batch = visitor.page.url.removeprefix(visitor.address)
    provider = first_of(visitor, f"{reverse('admin:batches_provider_changelist')}?q=simulated")
    visitor.open(provider)
    visitor.page.click("text=Pause")
    visitor.page.wait_for_selector("text=Paused since")
    try:
        found = faults(visitor)
        visitor.open(batch)
        visitor.page.wait_for_selector("text=The provider is paused.")
        found += faults(visitor)
    finally:
        visitor.open(provider)
        visitor.page.click("text=Resume")
        visitor.page.wait_for_selector("text=Resumed")
    assert found == []
