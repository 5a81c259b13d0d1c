"""A database that is hostile wherever it may hold text, and the pages that show it."""

import json

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth.models import User
from django.db.models import Model
from django.urls import reverse

from batches.models import ApiToken, Batch, File, Prompt, Provider, WebhookEndpoint, Worker
from tests.admin.makers import ended_batch

# Ends a text, an attribute and a string of Alpine's, and begins what would run or load something.
SCRIPT = "<script>hacked=1</script>"
IMAGE = "<img src=x onerror=hacked=1>"
HOSTILE = (
    f"\"'>{SCRIPT}{IMAGE}';hacked=1;'<a href='javascript:hacked=1'>x</a>"
    '<b x-init="hacked=1" hx-get="/hacked" hx-trigger="load">[x](javascript:hacked=1)'
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "title": HOSTILE}}}


def make_hostile() -> list[str]:
    """Make one of everything, hostile; the addresses of all pages that show it."""
    owner = User.objects.create(username=HOSTILE[:150], first_name=HOSTILE[:150])
    provider = hostile_provider(HOSTILE[:100])
    ended = hostile_batch(provider, owner, status="completed")
    running = hostile_batch(provider, owner, status="in_progress")
    Worker.objects.create(name=HOSTILE[:200], process=HOSTILE[:200])
    file = File.objects.create(purpose="batch", filename=HOSTILE[:255], bytes=1, owner=owner)
    token = ApiToken.objects.create(name=HOSTILE[:100], prefix=HOSTILE[:16], owner=owner)
    endpoint = hostile_endpoint(owner)
    lists = ("batch", "provider", "file", "apitoken", "webhookendpoint", "webhookdelivery")
    return [
        reverse("admin:index"),
        *(reverse(f"admin:batches_{name}_changelist") for name in lists),
        *(reverse(f"admin:batches_{name}_changelist") + "?q=%22%3E%3Cscript%3E" for name in lists),
        reverse("admin:batches_batch_add"),
        f"{reverse('admin:batches_batch_compare')}?ids={ended.pk},{running.pk}",
        *pages_of_batch(ended),
        *pages_of_batch(running),
        *pages_of(provider, "change", "history"),
        *pages_of(hostile_provider(f"unused {HOSTILE[:90]}"), "change", "delete"),
        *pages_of(file, "change", "delete"),
        *pages_of(token, "change", "delete"),
        *pages_of(endpoint, "change", "history", "delete"),
        *pages_of(endpoint.deliveries.get(), "change"),
        *pages_of(owner, "change", "history"),
    ]


def hostile_provider(name: str) -> Provider:
    """Paused, as its pages then say why."""
    return Provider.objects.create(
        name=name,
        base_url=f"http://127.0.0.1:9/{HOSTILE}",
        model_names=[HOSTILE],
        announced_limits={HOSTILE: {"requests": {"limit": 9, "remaining": 3}}},
        prices={HOSTILE: {"input": 1, "output": 1}},
        pause_reason=HOSTILE,
    )


def hostile_batch(provider: Provider, owner: User, *, status: str) -> Batch:
    """A batch in which one prompt failed, one was answered, and one did not fit its schema."""
    batch = ended_batch(
        provider,
        [HOSTILE, HOSTILE, HOSTILE],
        answers={1: HOSTILE, 2: json.dumps({"a": HOSTILE})},
        failed={0: HOSTILE},
    )
    for prompt in Prompt.objects.filter(batch=batch):
        Prompt.objects.filter(pk=prompt.pk).update(custom_id=f"{prompt.index}{HOSTILE}")
    batch.results.update(request_id=HOSTILE[:128], code=HOSTILE[:64], finish_reason=HOSTILE[:32])
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    Batch.objects.filter(pk=batch.pk).update(
        status=status,
        owner=owner,
        name=HOSTILE[:255],
        metadata={HOSTILE: HOSTILE},
        defaults={"model": HOSTILE, "response_format": shape},
        errors=[{"line": 1, "code": "x", "message": HOSTILE, "param": HOSTILE}],
        warnings=[{"message": HOSTILE}],
        input_file_public_id=HOSTILE[:64],
        pause_reason=HOSTILE,
    )
    return batch


def hostile_endpoint(owner: User) -> WebhookEndpoint:
    """A receiver, with an event that it did not take."""
    endpoint = WebhookEndpoint.objects.create(
        owner=owner, name=HOSTILE[:100], url=f"https://example.com/{HOSTILE}", secret="x"
    )
    endpoint.deliveries.create(
        event_type="batch.completed", object_id=HOSTILE[:64], error=HOSTILE, status="failed"
    )
    return endpoint


def pages_of_batch(batch: Batch) -> list[str]:
    names = ("change", "live", "results", "history")
    search = (
        f"{reverse('admin:batches_batch_results', args=[batch.pk])}?custom_id=%22%3E%3Cscript%3E"
    )
    found = f"{search}&text=hacked&field=%22%3E%3Cscript%3E&value=%22%3E%3Cscript%3E"
    filled = f"{reverse('admin:batches_batch_add')}?like={batch.pk}"
    results = [reverse("admin:batches_batch_result", args=[batch.pk, n]) for n in range(3)]
    add_history(batch)
    return [
        *(reverse(f"admin:batches_batch_{name}", args=[batch.pk]) for name in names),
        *(search, found, filled),
        *results,
    ]


def pages_of(row: Model, *names: str) -> list[str]:
    add_history(row)
    kind = f"{row._meta.app_label}_{row._meta.model_name}"
    return [reverse(f"admin:{kind}_{name}", args=[row.pk]) for name in names]


def add_history(row: Model) -> None:
    LogEntry.objects.create(
        user_id=User.objects.get(username=HOSTILE[:150]).pk,
        content_type_id=get_content_type_for_model(row).pk,
        object_id=row.pk,
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=HOSTILE,
    )
