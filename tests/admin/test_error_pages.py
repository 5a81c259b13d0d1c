"""Error pages look like the admin and lead back; they are there also without a database."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse

from config import urls
from tests.admin.conftest import Login


def broken(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the cause is only in the log")


urlpatterns = [path("admin/broken/", broken), *urls.urlpatterns]
handler500 = urls.handler500


def links(answer: Any) -> list[str]:
    return re.findall(r'class="tp-button[^"]*" href="([^"]+)"', answer.content.decode())


def test_a_missing_row_leads_to_its_list(root: Client) -> None:
    answer = root.get(reverse("admin:batches_batch_change", args=[4711]))
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()
    assert links(answer) == [reverse("admin:index"), reverse("admin:batches_batch_changelist")]
    # The sidebar is there too.
    assert reverse("admin:batches_provider_changelist") in answer.content.decode()


@pytest.mark.parametrize("path", ["/nonsense", "/admin/nonsense/x/"])
def test_a_wrong_address_leads_to_the_dashboard(root: Client, path: str) -> None:
    answer = root.get(path)
    assert (answer.status_code, links(answer)) == (404, [reverse("admin:index")])


def test_visitors_see_no_names_of_pages(client: Client, db: None) -> None:
    answer = client.get("/nonsense")
    assert answer.status_code == 404
    assert reverse("admin:batches_provider_changelist") not in answer.content.decode()


def test_what_is_forbidden_is_told_with_the_next_step(login: Login) -> None:
    answer = login("view_batch").get(reverse("admin:batches_provider_add"))
    assert answer.status_code == 403
    assert "Ask an administrator" in answer.content.decode()
    assert links(answer)[0] == reverse("admin:index")


def test_a_form_that_is_too_old_is_told_with_the_next_step(db: None) -> None:
    client = Client(enforce_csrf_checks=True, SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("boss"))
    answer = client.post(reverse("admin:batches_batch_add"), {"prompts": "a"})
    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()


@pytest.mark.urls(__name__)
def test_a_failure_of_the_server_needs_no_database() -> None:
    # Without the fixture `db` any query of this test raises an error.
    client = Client(raise_request_exception=False, SERVER_NAME="localhost")
    client.cookies["threephase_session"] = "x" * 32
    answer = client.get("/admin/broken/")
    text = answer.content.decode()
    assert (answer.status_code, links(answer)) == (500, [reverse("admin:index")])
    assert f"Request ID: {answer.headers['X-Request-ID']}" in text
    assert "the cause" not in text
