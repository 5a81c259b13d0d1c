"""Django's permissions hold on every page and button of the admin."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batches.lifecycle import BatchStatus
from batches.models import ApiToken, Batch, Provider, Result
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch
from tests.admin.test_new_batch import PLAIN
from tests.makers import batch_of

LISTS = (
    *("batch", "provider", "file", "apitoken", "webhookendpoint", "webhookdelivery", "template"),
    "answer",
)
READING = ("results", "jsonl", "csv")
BUTTONS = ("cancel", "retry", "resume", "remove")


def page(batch: Batch, name: str = "change", *more: int) -> str:
    return reverse(f"admin:batches_batch_{name}", args=[batch.pk, *more])


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return ended_batch(provider, ["a", "b"], failed={1: "it failed"})


@pytest.mark.parametrize("model", LISTS)
def test_who_is_not_staff_sees_nothing(login: Login, model: str) -> None:
    client = login("view_batch", "view_provider", "view_file", staff=False)
    for address in (reverse(f"admin:batches_{model}_changelist"), reverse("admin:index")):
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (
            302,
            "/admin/login/",
        )


@pytest.mark.parametrize("model", LISTS)
def test_staff_without_permission_sees_nothing(login: Login, model: str) -> None:
    client = login()
    assert client.get(reverse(f"admin:batches_{model}_changelist")).status_code == 403


def test_the_pages_of_a_batch_need_their_permission(login: Login, batch: Batch) -> None:
    for name in ("change", "live", "results", "jsonl", "csv"):
        assert login("view_provider").get(page(batch, name)).status_code in {403, 404}
    watcher = login("view_batch")
    assert watcher.get(page(batch)).status_code == 200
    # What was asked and answered is another matter than that it was.
    for address in (*(page(batch, name) for name in READING), page(batch, "result", 0)):
        assert watcher.get(address).status_code == 403
    assert "line-2" not in watcher.get(page(batch)).content.decode()
    assert login("view_batch", "view_result").get(page(batch, "result", 0)).status_code == 200


@pytest.mark.parametrize("name", BUTTONS)
def test_who_may_look_alone_changes_nothing(login: Login, batch: Batch, name: str) -> None:
    answer = login("view_batch", "view_result", "add_batch").post(page(batch, name))
    assert answer.status_code == 403
    batch.refresh_from_db()
    assert (batch.status, batch.failed, batch.deleted_at) == (BatchStatus.COMPLETED, 1, None)


@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_is_no_link(root: Client, batch: Batch, name: str) -> None:
    assert root.get(page(batch, name)).status_code == 405


@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_pressed_by_another_site_does_nothing(
    root: Client, batch: Batch, name: str
) -> None:
    strict = Client(enforce_csrf_checks=True, SERVER_NAME="localhost")
    strict.force_login(User.objects.get(is_superuser=True))
    assert strict.post(page(batch, name)).status_code == 403


def test_who_may_look_sees_no_buttons(login: Login, batch: Batch) -> None:
    shown = login("view_batch", "view_result").get(page(batch)).content.decode()
    assert "Retry" not in shown
    assert "Delete" not in shown
    assert "Retry" in login("view_batch", "change_batch").get(page(batch)).content.decode()


def test_making_needs_the_permission_to_add(login: Login) -> None:
    viewer = login("view_batch", "view_apitoken", "view_provider", "view_webhookendpoint")
    for model in ("batch", "apitoken", "provider", "webhookendpoint"):
        address = reverse(f"admin:batches_{model}_add")
        assert viewer.get(address).status_code == 403
        assert viewer.post(address, {"prompts": "x"}).status_code == 403


def test_who_may_make_batches_and_not_look_is_told_that_one_is_made(
    login: Login, provider: Provider
) -> None:
    maker = login("add_batch")
    page, form = reverse("admin:index"), reverse("admin:batches_batch_add")
    assert f'href="{form}"' in maker.get(page).content.decode()
    fields = {**PLAIN, "provider": str(provider.pk), "prompts": "one", "once": "x"}
    shown = maker.post(form, {**fields, "_preview": "1"})
    assert shown.context["preview"].prompts == 1
    for said in ("Batch started: ", "It was not started again."):
        answer = maker.post(form, {**fields, "_start": "1"}, follow=True)
        assert answer.redirect_chain == [(form, 302)]
        assert answer.status_code == 200
        assert str(Batch.objects.get()) in answer.content.decode()
        assert said in answer.content.decode()


def test_a_provider_is_for_who_may_change_it(login: Login, provider: Provider) -> None:
    viewer = login("view_provider")
    for name in ("test", "pause", "resume"):
        address = reverse(f"admin:batches_provider_{name}", args=[provider.pk])
        assert viewer.post(address).status_code == 403
    change = reverse("admin:batches_provider_change", args=[provider.pk])
    shown = viewer.get(change).content.decode()
    assert "Test connection" not in shown
    assert 'name="api_key"' not in shown
    assert (
        viewer.post(change, {"name": "mine", "base_url": "http://evil.example"}).status_code == 403
    )
    provider.refresh_from_db()
    assert provider.name == "simulated"


def test_the_buttons_call_the_services(login: Login, provider: Provider) -> None:
    client = login("view_batch", "change_batch", "delete_batch")
    running = batch_of(provider, ["a"])
    client.post(page(running, "cancel"))
    running.refresh_from_db()
    assert running.status == BatchStatus.CANCELLED
    client.post(page(running, "retry"))
    running.refresh_from_db()
    assert running.status == BatchStatus.IN_PROGRESS
    Batch.objects.filter(pk=running.pk).update(pause_reason="manual")
    client.post(page(running, "resume"))
    running.refresh_from_db()
    assert running.pause_reason == ""
    refused = client.post(page(running, "remove"), follow=True).content.decode()
    assert "Cannot delete a batch with status" in refused
    client.post(page(running, "cancel"))
    client.post(page(running, "remove"))
    assert not Batch.objects.filter(pk=running.pk).exists()


def test_one_kind_of_failure_is_retried_alone(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b", "c"], failed={0: "x", 1: "y"})
    Result.objects.filter(batch=batch, index=1).update(kind="refusal")
    root.post(page(batch, "retry"), {"kind": "refusal"})
    left = Result.objects.filter(batch=batch).order_by("index").values_list("index", flat=True)
    assert list(left) == [0, 2]
    batch.refresh_from_db()
    assert (batch.status, batch.failed, batch.succeeded) == (BatchStatus.IN_PROGRESS, 1, 1)


@pytest.mark.parametrize("kind", ["nonsense", "\0"])
def test_of_a_kind_that_is_none_nothing_is_retried(
    root: Client, provider: Provider, kind: str
) -> None:
    batch = ended_batch(provider, ["a", "b"], failed={0: "x"})
    assert root.post(page(batch, "retry"), {"kind": kind}).status_code == 404
    batch.refresh_from_db()
    assert batch.status == BatchStatus.COMPLETED


def history_of(client: Client, batch: Batch) -> list[str]:
    entries = client.get(page(batch, "history")).context["action_list"]
    return [entry.change_message for entry in entries]


def test_the_history_tells_what_was_done_and_not_what_was_refused(
    root: Client, provider: Provider
) -> None:
    batch = ended_batch(provider, ["a", "b"], failed={0: "x"})
    root.post(page(batch, "cancel"))
    assert history_of(root, batch) == []
    root.post(page(batch, "retry"), {"kind": "server"})
    assert history_of(root, batch) == ["Retry started for server."]
    assert f'href="{page(batch, "history")}"' in root.get(page(batch)).content.decode()


def test_a_token_is_shown_once(root: Client) -> None:
    owner = User.objects.get(is_superuser=True)
    shown = root.post(reverse("admin:batches_apitoken_add"), {"owner": owner.pk, "name": "laptop"})
    secret = shown.context["secret"]
    assert secret.startswith("tp_")
    assert secret in shown.content.decode()
    assert (
        shown.headers["Cache-Control"].startswith("max-age=0")
        or "no-store" in shown.headers["Cache-Control"]
    )
    token = ApiToken.objects.get()
    for name, arguments in (("changelist", []), ("change", [token.pk])):
        again = root.get(reverse(f"admin:batches_apitoken_{name}", args=arguments))
        assert secret not in again.content.decode()
        assert token.digest not in again.content.decode()
