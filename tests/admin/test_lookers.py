"""Who may look changes nothing, by whatever request; who is not staff does not even look."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from batches.files.files import NewFile, store_file
from batches.lifecycle import BatchStatus
from batches.models import ApiToken, Batch, File, Provider, WebhookEndpoint
from batches.secrets.tokens import create_token
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch
from tests.makers import batch_of

MODELS: tuple[type[Model], ...] = (Batch, File, Provider, ApiToken, WebhookEndpoint)
CHANGE_OF_BATCH = ("cancel", "retry", "resume", "remove")
CHANGE_OF_ENDPOINT = ("test", "disable", "enable", "rotate")
CHANGE_OF_PROVIDER = ("pause", "resume", "test")
EVERY_VIEW = tuple(
    f"view_{name}"
    for name in (
        *("batch", "result", "prompt", "file", "provider", "apitoken", "webhookendpoint"),
        "webhookdelivery",
    )
)


@pytest.fixture
def endpoint(owner: User) -> WebhookEndpoint:
    """An endpoint at which nobody listens."""
    return WebhookEndpoint.objects.create(
        owner=owner, name="hook", url="https://example.com/hook", event_types=["batch.completed"]
    )


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("owner")


@pytest.fixture
def rows(provider: Provider, owner: User, endpoint: WebhookEndpoint) -> dict[type[Model], int]:
    """One of each that has a list."""
    create_token(owner, name="laptop")
    new = NewFile(owner=owner, purpose="batch", filename="why.jsonl")
    return {
        Batch: ended_batch(provider, ["a", "b"], failed={1: "it failed"}).pk,
        File: store_file(new, ContentFile(b"{}\n", name="why.jsonl")).pk,
        Provider: provider.pk,
        ApiToken: ApiToken.objects.get().pk,
        WebhookEndpoint: endpoint.pk,
    }


def name_of(model: type[Model], page: str) -> str:
    return f"admin:{model._meta.label_lower.replace('.', '_')}_{page}"


def delete_chosen(client: Client, model: type[Model], pk: int) -> int:
    """Delete by the action of a list, as if it had been confirmed."""
    chosen = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    return client.post(reverse(name_of(model, "changelist")), chosen).status_code


def delete_one(client: Client, model: type[Model], pk: int) -> int:
    """Delete by the page of a row, as if it had been confirmed."""
    address = reverse(name_of(model, "delete"), args=[pk])
    return client.post(address, {"post": "yes"}).status_code


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("delete", [delete_chosen, delete_one])
def test_who_may_look_deletes_nothing(
    login: Login,
    rows: dict[type[Model], int],
    model: type[Model],
    delete: Callable[[Client, type[Model], int], int],
) -> None:
    before = list(model._default_manager.values())
    delete(login(*EVERY_VIEW), model, rows[model])
    assert list(model._default_manager.values()) == before
    shown = login(*EVERY_VIEW).get(reverse(name_of(model, "changelist"))).content.decode()
    assert 'value="delete_selected"' not in shown


@pytest.mark.parametrize("model", [Provider, ApiToken])
def test_who_may_delete_deletes_what_is_chosen(
    login: Login, provider: Provider, owner: User, model: type[Model]
) -> None:
    create_token(owner, name="laptop")
    client = login(f"view_{model._meta.model_name}", f"delete_{model._meta.model_name}")
    delete_chosen(client, model, model._default_manager.get().pk)
    assert not model._default_manager.exists()


@pytest.mark.parametrize("delete", [delete_chosen, delete_one])
def test_a_provider_with_batches_is_not_deleted(
    root: Client,
    rows: dict[type[Model], int],
    delete: Callable[[Client, type[Model], int], int],
) -> None:
    assert delete(root, Provider, rows[Provider]) in {200, 302, 403}
    assert Provider.objects.filter(pk=rows[Provider]).exists()


@pytest.mark.parametrize("delete", [delete_chosen, delete_one])
def test_batches_are_deleted_by_their_button_alone(
    root: Client,
    rows: dict[type[Model], int],
    delete: Callable[[Client, type[Model], int], int],
) -> None:
    assert delete(root, Batch, rows[Batch]) in {302, 403}
    assert Batch.objects.get().deleted_at is None


@pytest.mark.parametrize("name", CHANGE_OF_BATCH)
@pytest.mark.parametrize("status", [BatchStatus.IN_PROGRESS, BatchStatus.COMPLETED])
def test_who_may_look_at_batches_moves_none(
    login: Login, provider: Provider, name: str, status: BatchStatus
) -> None:
    running, ended = batch_of(provider, ["a"]), ended_batch(provider, ["a"], failed={0: "x"})
    Batch.objects.filter(pk=running.pk).update(pause_reason="spending limit of $1 reached")
    batch = running if status == BatchStatus.IN_PROGRESS else ended
    before = list(Batch.objects.values())
    address = reverse(f"admin:batches_batch_{name}", args=[batch.pk])
    assert login(*EVERY_VIEW).post(address).status_code == 403
    assert list(Batch.objects.values()) == before
    assert ended.results.count() == 1


@pytest.mark.parametrize("paused", ["", "auth: HTTP 401"])
@pytest.mark.parametrize("name", CHANGE_OF_PROVIDER)
def test_who_may_look_at_providers_stops_and_asks_none(
    login: Login, provider: Provider, name: str, paused: str
) -> None:
    Provider.objects.update(pause_reason=paused)
    before = list(Provider.objects.values())
    address = reverse(f"admin:batches_provider_{name}", args=[provider.pk])
    assert login(*EVERY_VIEW).post(address).status_code == 403
    assert list(Provider.objects.values()) == before


def test_who_is_not_staff_sees_and_does_nothing(login: Login, rows: dict[type[Model], int]) -> None:
    outsider = login(*EVERY_VIEW, "add_batch", "change_batch", "delete_batch", staff=False)
    before = {model: list(model._default_manager.values()) for model in rows}
    for address in (
        *(reverse(name_of(model, "changelist")) for model in rows),
        *(reverse(name_of(model, "change"), args=[pk]) for model, pk in rows.items()),
        *(reverse(name_of(model, "delete"), args=[pk]) for model, pk in rows.items()),
        *_pages_of("batch", rows[Batch], "live", "results", "jsonl", "csv", *CHANGE_OF_BATCH),
        *_pages_of("provider", rows[Provider], *CHANGE_OF_PROVIDER),
        *_pages_of("file", rows[File], "download"),
        *_pages_of("webhookendpoint", rows[WebhookEndpoint], *CHANGE_OF_ENDPOINT),
        reverse("admin:batches_batch_result", args=[rows[Batch], 0]),
        reverse("admin:batches_batch_add"),
        reverse("admin:batches_batch_compare"),
        reverse("admin:index"),
    ):
        for answer in (outsider.get(address), outsider.post(address, {"post": "yes"})):
            assert answer.status_code == 302, address
            assert answer.headers["Location"].startswith("/admin/login/"), address
    assert {model: list(model._default_manager.values()) for model in rows} == before


def _pages_of(model: str, pk: int, *names: str) -> list[str]:
    return [reverse(f"admin:batches_{model}_{name}", args=[pk]) for name in names]
