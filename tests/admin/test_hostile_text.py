"""Whatever people and models write is shown as text, on every page where it is shown at all.

tests/processes/test_hostile_text_in_browser.py looks at the same pages with a browser.
"""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import URLPattern, URLResolver, resolve, reverse

from batches.models import Batch, File, Provider
from simulator import Behaviour, SimulatedProvider
from tests.admin.hostile import HOSTILE, IMAGE, SCRIPT, make_hostile

# Buttons, downloads, pieces of pages, and Django's pages that nobody is allowed to open.
NO_PAGES = {
    *("search", "login", "logout", "autocomplete", "jsi18n", "view_on_site"),
    *(f"batches_batch_{name}" for name in ("cancel", "retry", "pause", "resume", "rename")),
    *(f"batches_batch_{name}" for name in ("again", "remove", "columns", "delete")),
    *(f"batches_batch_{name}" for name in ("jsonl", "csv", "parquet")),
    *(f"batches_provider_{name}" for name in ("test", "pause", "resume", "forget_limits")),
    *(f"batches_webhookendpoint_{name}" for name in ("test", "disable", "enable", "rotate")),
    *("batches_file_download", "batches_file_add"),
    *("batches_template_add", "batches_template_delete", "batches_batch_rows"),
    "batches_batch_answers_csv",
    *("batches_webhookdelivery_add", "batches_webhookdelivery_delete"),
    *("batches_answer_add", "batches_answer_delete"),
}

# What would be there if one of these were not escaped.
INJECTED = (SCRIPT, IMAGE, "<a href='javascript:", "<b x-init", '"><script>')


def assert_is_text(shown: str, where: str) -> None:
    assert [injected for injected in INJECTED if injected in shown] == [], where


@pytest.fixture
def pages(db: None) -> list[str]:
    return make_hostile()


def result_page(index: int) -> str:
    batch = Batch.objects.filter(status="completed").earliest("pk")
    return reverse("admin:batches_batch_result", args=[batch.pk, index])


def names_in(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[str]:
    """The names of all URLs."""
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from names_in(one.url_patterns)
        elif one.name:
            yield one.name


def test_each_page_of_the_admin_is_looked_at(pages: list[str]) -> None:
    """A new page has to be among those of make_hostile(), which the tests in a browser visit."""
    visited = {str(resolve(urlsplit(page).path).url_name) for page in pages}
    assert visited.isdisjoint(NO_PAGES)
    assert visited | NO_PAGES == set(names_in(admin.site.urls[0]))


def test_pages_escape_what_others_wrote(root: Client, pages: list[str]) -> None:
    for address in pages:
        answer = root.get(address)
        assert answer.status_code == 200, address
        assert_is_text(answer.content.decode(), address)


def test_hostile_text_is_there_to_be_read(root: Client, pages: list[str]) -> None:
    assert "&lt;script&gt;hacked=1" in root.get(result_page(1)).content.decode()


def test_a_violation_of_the_schema_is_pointed_at(root: Client, pages: list[str]) -> None:
    shown = root.get(result_page(2)).content.decode()
    assert "The answer has 1 schema error." in shown
    assert "<mark>  &quot;a&quot;" in shown


def test_what_is_refused_is_text(root: Client, pages: list[str]) -> None:
    fields = dict.fromkeys(("stored", "model", "name", "url", "base_url", "prices"), HOSTILE)
    for kind in ("batch", "provider", "webhookendpoint", "apitoken"):
        address = reverse(f"admin:batches_{kind}_add")
        assert_is_text(root.post(address, fields).content.decode(), address)


def test_what_is_told_after_a_click_is_text(root: Client, pages: list[str]) -> None:
    fields = {"name": HOSTILE[1:101], "base_url": "https://example.com/v1"}
    added = root.post(reverse("admin:batches_provider_add"), fields, follow=True)
    assert "created. Test its connection" in added.content.decode()
    assert_is_text(added.content.decode(), "added")


def test_models_that_a_provider_tells_of_are_text(root: Client, pages: list[str]) -> None:
    provider = Provider.objects.earliest("pk")
    address = reverse("admin:batches_provider_test", args=[provider.pk])
    with SimulatedProvider(Behaviour(models=(f"told {HOSTILE}",))) as simulator:
        Provider.objects.filter(pk=provider.pk).update(base_url=simulator.base_url)
        shown = root.post(address).content.decode()
    assert "told &quot;" in shown
    assert "The provider does not list" in shown
    assert_is_text(shown, address)


def test_a_file_name_stays_within_its_header(root: Client) -> None:
    name = f'a"; filename=x.html\r\nSet-Cookie: hacked=1\r\n\r\n{SCRIPT}'
    file = File.objects.create(purpose="batch", filename=name, bytes=2)
    file.content.save("x.jsonl", ContentFile(b"{}"))
    answer = root.get(reverse("admin:batches_file_download", args=[file.pk]))
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]


def test_pages_of_the_admin_load_nothing_from_elsewhere_and_are_not_kept(root: Client) -> None:
    for name in ("index", "login", "batches_batch_changelist", "batches_batch_add"):
        headers = root.get(reverse(f"admin:{name}")).headers
        policy = dict(one.split(" ", 1) for one in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self' 'unsafe-eval'"
        assert all("http" not in sources and "*" not in sources for sources in policy.values())
        assert "no-store" in headers["Cache-Control"]
