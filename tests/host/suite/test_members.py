"""Users with a UUID as their key, an address to log in with, and no other name."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from batches.admin.base import our_site
from batches.admin.batches.timeline import timeline_of
from batches.management.embedded.first_login import make_first_login
from batches.models import Batch, File, KeptAnswer, Provider, Template, WebhookEndpoint
from batches.secrets.tokens import authenticate
from simulator import SimulatedProvider
from tests.admin.hostile import reverse
from tests.admin.test_new_batch import PLAIN
from tests.api.calling import error_of
from tests.host.members.admin import MemberAdmin
from tests.host.members.models import Member
from tests.makers import MODEL
from tests.runners import ended

API = "/tools/v1"
ANN = "ann@example.org"

pytestmark = pytest.mark.django_db


def member(email: str) -> Any:
    return Member.objects.get(email=email)


def client_with(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def token_of(name: str, **options: object) -> str:
    """The token that the command makes for the user who logs in with this name."""
    out = StringIO()
    call_command("create_token", name, stdout=out, stderr=StringIO(), **options)
    return out.getvalue().strip()


@pytest.fixture
def ann() -> Any:
    # The type checker knows the users of this repository's own project.
    return Member.objects.create_user(ANN)


def created(client: Client, texts: list[str], **more: object) -> Batch:
    requests = {
        "endpoint": "/v1/chat/completions",
        "body": {"model": MODEL},
        "prompts": texts,
        **more,
    }
    answer = client.post(f"{API}/batches", requests, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return Batch.objects.get(public_id=answer.json()["id"])


def test_the_settings_are_the_ones_of_the_other_project() -> None:
    assert get_user_model()._meta.label == "members.Member"
    assert not apps.is_installed("drf_spectacular")


def test_files_are_in_the_default_storage_if_there_is_no_other() -> None:
    field: Any = File._meta.get_field("content")
    assert field.storage is storages["default"]


def test_the_reference_page_says_what_it_lacks(client: Client) -> None:
    answer = client.get(f"{API}/docs")
    assert answer.status_code == 404
    assert "drf_spectacular_sidecar among the INSTALLED_APPS" in answer.json()["error"]["message"]
    assert client.get(f"{API}/openapi.json").status_code == 200


def test_the_command_makes_a_token_for_a_user_by_their_own_kind_of_name(ann: Any) -> None:
    assert authenticate(token_of(ANN)) == ann
    assert authenticate(token_of("new@example.org")) == member("new@example.org")
    with pytest.raises(CommandError, match="cannot be a username: Enter a valid email"):
        token_of("ann")
    assert Member.objects.count() == 2


def test_a_user_who_may_not_log_in_has_no_token(ann: Any) -> None:
    token = token_of(ANN)
    Member.objects.update(is_active=False)
    assert authenticate(token) is None
    with pytest.raises(CommandError, match="is not active"):
        token_of(ANN)


def test_no_first_login_is_made_where_users_need_more_than_a_name() -> None:
    assert make_first_login() is None
    assert not Member.objects.exists()


def test_the_api_shows_users_their_own_batches_alone(ann: Any, provider: Provider) -> None:
    client = client_with(token_of(ANN))
    batch = ended(created(client, ["a", "b"]))
    assert (batch.owner, batch.succeeded) == (ann, 2)
    shown = client.get(f"{API}/batches/{batch.public_id}/results").json()
    assert [row["index"] for row in shown["data"]] == [0, 1]
    other = client_with(token_of("other@example.org"))
    error_of(other.get(f"{API}/batches/{batch.public_id}"), 404)
    assert other.get(f"{API}/batches").json()["data"] == []
    error_of(Client().get(f"{API}/batches"), 401)


def test_answers_are_used_again_for_their_owner(ann: Any, provider: Provider) -> None:
    client = client_with(token_of(ANN))
    ended(created(client, ["a", "b"], reuse="owner"))
    assert {kept.owner for kept in KeptAnswer.objects.all()} == {ann}
    assert ended(created(client, ["b", "c"], reuse="owner")).reused == 1
    other = client_with(token_of("other@example.org"))
    assert ended(created(other, ["b"], reuse="owner")).reused == 0


def test_files_and_webhooks_belong_to_users(ann: Any, provider: Provider) -> None:
    client = client_with(token_of(ANN))
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}
    file = SimpleUploadedFile("a.jsonl", json.dumps(line).encode())
    answer = client.post(f"{API}/files", {"purpose": "batch", "file": file})
    assert answer.status_code == 200, answer.content
    hook = {"name": "a", "url": "https://example.org/", "event_types": ["batch.completed"]}
    answer = client.post(f"{API}/webhook_endpoints", hook, content_type="application/json")
    assert answer.status_code in {200, 201}, answer.content
    assert WebhookEndpoint.objects.get().owner == ann


def test_the_admin_makes_batches_tokens_and_shows_its_pages(
    boss: Client, ann: Any, provider: Provider
) -> None:
    made = boss.post(reverse("admin:batches_apitoken_add"), {"owner": ann.pk, "name": "laptop"})
    assert authenticate(made.context["secret"]) == ann
    data = {**PLAIN, "provider": provider.pk, "_start": "1", "prompts": "one\ntwo"}
    answer = boss.post(reverse("admin:batches_batch_add"), data)
    assert answer.status_code == 302, answer.context["form"].errors
    batch = Batch.objects.get()
    assert batch.owner is not None
    assert batch.owner.email == "boss@example.org"
    boss.post(reverse("admin:batches_batch_cancel", args=[batch.pk]))
    assert {step.by for step in timeline_of(batch)} >= {"boss@example.org"}
    Template.objects.version_of(ann.pk, "short", [{"role": "user", "content": "{{ row }}"}])
    for page in ("", "?q=ann", "?q=boss"):
        for model in apps.get_app_config("batches").get_models():
            if our_site().is_registered(model):
                name = reverse(f"admin:batches_{model._meta.model_name}_changelist")
                assert boss.get(f"{name}{page}", follow=True).status_code == 200, name
    for add in ("batch", "provider", "apitoken", "webhookendpoint"):
        assert boss.get(reverse(f"admin:batches_{add}_add")).status_code == 200, add


def test_the_pages_of_users_are_still_the_ones_of_the_project(boss: Client, ann: Any) -> None:
    assert type(admin.site.get_model_admin(Member)) is MemberAdmin
    assert type(admin.site.get_model_admin(Group)).__module__ == "django.contrib.auth.admin"
    assert ANN in boss.get("/staff/members/member/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_command_runs_a_file(simulator: SimulatedProvider, tmp_path: Path) -> None:
    given, out = tmp_path / "prompts.txt", tmp_path / "out.jsonl"
    given.write_text("one\ntwo\n")
    call_command(
        "process_batch",
        str(given),
        f"--base-url={simulator.base_url}",
        f"--model={MODEL}",
        f"--output={out}",
    )
    assert len(out.read_text().splitlines()) == 2
    assert Batch.objects.get().owner is None
