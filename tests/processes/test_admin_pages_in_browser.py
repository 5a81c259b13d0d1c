"""Pages of the admin in each state: for who does not see them, in the dark, on a telephone."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from tests.processes.admin_visits import ended_batch, first_of, preview_batch, start_batch
from tests.processes.browser import NARROW, WIDE, Visitor

# What does not fit into a cell in one piece.
LONG = f"Of great length, with a word like {'Donaudampfschiff' * 5}"

PAGES = (
    *("index", "batches_batch_changelist", "batches_batch_add", "batches_provider_changelist"),
    *("batches_provider_add", "batches_file_changelist", "batches_apitoken_changelist"),
    *("batches_apitoken_add", "batches_webhookendpoint_changelist"),
    *("batches_webhookendpoint_add", "batches_webhookdelivery_changelist"),
    *("auth_user_changelist", "auth_user_add", "auth_group_changelist", "auth_group_add"),
    "password_change",
)
# Lists whose first row leads to the page of one thing.
OF_ONE = (
    *("batches_provider_changelist", "batches_file_changelist", "auth_user_changelist"),
    "batches_webhookendpoint_changelist",
)


@pytest.fixture
def pages(visitor: Visitor) -> list[str]:
    """The addresses of all pages, those of a batch that has ended with a failure among them."""
    batches = [ended_batch(visitor, name=LONG[: 20 + 200 * n]) for n in range(2)]
    make_token(visitor)
    make_endpoint(visitor)
    plain = [reverse(f"admin:{name}") for name in PAGES]
    ends = ("change/", "results/", "results/?text=well", "results/0/", "history/")
    numbers = ",".join(batch.rstrip("/").rpartition("/")[2] for batch in batches)
    return [
        *plain,
        f"{reverse('admin:index')}?period=week",
        *(f"{batches[1]}{end}" for end in ends),
        *(first_of(visitor, reverse(f"admin:{name}")) for name in OF_ONE),
        f"{reverse('admin:batches_batch_compare')}?ids={numbers}",
    ]


def faults(visitor: Visitor) -> list[tuple[str, bool, str]]:
    """What is wrong with the page that is open, in both themes."""
    address = visitor.page.url
    return [
        (address, dark, fault)
        for dark in (False, True)
        for fault in visitor.faults_of_page(dark=dark)
    ]


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_pass_axe_in_both_themes(
    visitor: Visitor, pages: list[str], size: dict[str, int]
) -> None:
    visitor.page.set_viewport_size(size)  # type: ignore[arg-type]  # a dict is one
    found = []
    for path in pages:
        visitor.open(path)
        found += faults(visitor)
    assert found == []


def test_everything_on_a_page_is_reached_with_the_tab_key(
    visitor: Visitor, pages: list[str]
) -> None:
    missed = []
    for path in pages:
        visitor.open(path)
        missed += [(path, one) for one in visitor.missed_by_tab()]
    assert missed == []


def test_pages_fit_a_telephone(visitor: Visitor, pages: list[str]) -> None:
    visitor.page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a dict is one
    wide, clipped = [], []
    for path in pages:
        visitor.open(path)
        if visitor.is_wider_than_screen():
            wide.append(path)
        clipped += [(path, cell) for cell in visitor.clipped()]
    assert (wide, clipped) == ([], [])


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


def not_found(visitor: Visitor) -> None:
    visitor.open(f"{reverse('admin:batches_batch_changelist')}999999/change/")
    visitor.page.wait_for_selector("text=Page not found")
    # Of the page itself, and of nothing that it loads.
    assert all("404" in one for one in visitor.complaints), visitor.complaints
    visitor.complaints.clear()


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
    *(endpoint_edited, not_found, live, a_question, nothing_found, login),
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
