"""A database that is hostile wherever it may hold text, and the pages that show it."""

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.db.models.functions import Now
from django.urls import reverse as any_reverse

from batches.admin.base import our_site
from batches.lifecycle import BatchStatus
from batches.models import (
    Answer,
    ApiToken,
    Batch,
    Enrichment,
    File,
    Prompt,
    Provider,
    Template,
    WebhookEndpoint,
    Worker,
)
from tests.admin.makers import ended_batch

# Ends a text, an attribute and a string of Alpine's, and begins what would run or load something.
SCRIPT = "<script>hacked=1</script>"
IMAGE = "<img src=x onerror=hacked=1>"
HOSTILE = (
    f"\"'>{SCRIPT}{IMAGE}';hacked=1;'<a href='javascript:hacked=1'>x</a>"
    '<b x-init="hacked=1" hx-get="/hacked" hx-trigger="load">[x](javascript:hacked=1)'
)
# What does not fit into a cell in one piece.
LONG = f"Of great length, with a word like {'Donaudampfschiff' * 5}"
LISTS = (
    *("batches_batch", "batches_provider", "batches_file", "batches_apitoken"),
    *("batches_webhookendpoint", "batches_webhookdelivery", "batches_template"),
    "batches_answer",
)
ADDED = ("batches_batch", "batches_provider", "batches_apitoken", "batches_webhookendpoint")
PEOPLE = ("auth_user", "auth_group")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "title": HOSTILE}}}


def reverse(name: str, args: Sequence[object] = ()) -> str:
    """The address of a page of the site that has the pages of the app."""
    return any_reverse(name, args=args, current_app=our_site().name)


def make_hostile() -> list[str]:
    """Make one of everything, hostile; return the addresses of all pages of the admin."""
    owner = User.objects.create(username=HOSTILE[:150], first_name=HOSTILE[:150])
    lists = [reverse(f"admin:{name}_changelist") for name in PEOPLE]
    return [
        *pages_of_app(owner),
        reverse("admin:index"),
        f"{reverse('admin:index')}?period=week",
        *lists,
        *(f"{address}?q=%22%3E%3Cscript%3E" for address in lists),
        *(reverse(f"admin:{name}_add") for name in PEOPLE),
        *(reverse("admin:app_list", args=[app]) for app in ("batches", "auth")),
        *(reverse(f"admin:{name}") for name in ("password_change", "password_change_done")),
        *pages_of(owner, "change", "history"),
        reverse("admin:auth_user_password_change", args=[owner.pk]),
        *pages_of(User.objects.create(username=LONG), "change", "history", "delete"),
        *pages_of(Group.objects.create(name=HOSTILE[:150]), "change", "history", "delete"),
    ]


def pages_of_app(owner: User) -> list[str]:
    """Make one of everything but people, hostile; return the addresses of our own pages."""
    provider = hostile_provider(HOSTILE[:100])
    ended = hostile_batch(provider, owner, status="completed")
    running = hostile_batch(provider, owner, status="in_progress")
    Worker.objects.create(name=HOSTILE[:200], process=HOSTILE[:200])
    file = File.objects.create(purpose="batch", filename=HOSTILE[:255], bytes=1, owner=owner)
    token = ApiToken.objects.create(name=HOSTILE[:100], prefix=HOSTILE[:16], owner=owner)
    endpoint = hostile_endpoint(owner)
    template = hostile_template(owner, running)
    answer = hostile_answer(running)
    own, one = ("change", "history"), ("change", "history", "delete")
    return [
        *pages_of_lists(),
        f"{reverse('admin:batches_batch_compare')}?ids={ended.pk},{running.pk}",
        *pages_of_answers(*hostile_answers(provider, owner)),
        *pages_of_batch(ended),
        *pages_of_batch(running),
        *pages_of_states(provider),
        *pages_of(template, "change", "history"),
        f"{reverse('admin:batches_batch_add')}?template={template.pk}",
        *pages_of(provider, *own),
        *pages_of(hostile_provider(f"unused {HOSTILE[:90]}"), *one),
        *pages_of(file, *one),
        *pages_of(token, *one),
        *pages_of(endpoint, *one),
        *pages_of(disabled_endpoint(owner), *own),
        *pages_of(endpoint.deliveries.get(), *own),
        *pages_of(answer, *own),
    ]


def hostile_answers(provider: Provider, owner: User) -> list[Batch]:
    """Two batches of a table that disagree in fields and values of all kinds."""
    batches = [ended_batch(provider, [LONG] * 16, failed={15: LONG}) for _ in range(2)]
    for place, batch in enumerate(batches):
        for result in batch.results.filter(status="succeeded"):
            n = place * result.index
            answer = {"a": f"{n}{HOSTILE}"[:64], HOSTILE: n, "b": LONG * (1 + n % 3), "c": HOSTILE}
            batch.results.filter(pk=result.pk).update(parsed=json.dumps(answer))
        for prompt in Prompt.objects.filter(batch=batch):
            row = json.dumps({"truth": f"{HOSTILE}{prompt.index}", HOSTILE: LONG})
            named = f"{prompt.index}{HOSTILE}"
            Prompt.objects.filter(pk=prompt.pk).update(custom_id=named, row=row)
        columns = [["truth", "truth"], [HOSTILE, HOSTILE]]
        Batch.objects.filter(pk=batch.pk).update(columns=columns, owner=owner, name=LONG)
    return batches


def pages_of_answers(*batches: Batch) -> list[str]:
    """The pages that compare answers: with figures, with a truth or a wrong one, and all rows."""
    ids = ",".join(str(batch.pk) for batch in batches)
    compared = f"{reverse('admin:batches_batch_answers')}?ids={ids}"
    wrong = urlencode({"field": HOSTILE, "column": HOSTILE * 2})
    return [
        f"{compared}&field=a&column=truth",
        f"{compared}&{wrong}",
        f"{compared}&after=0&show=all",
    ]


def pages_of_lists() -> list[str]:
    """The pages that show no row, or many."""
    lists = [reverse(f"admin:{name}_changelist") for name in LISTS]
    return [
        *lists,
        *(f"{address}?q=%22%3E%3Cscript%3E" for address in lists),
        f"{reverse('admin:batches_batch_changelist')}?state=running",
        *(reverse(f"admin:{name}_add") for name in ADDED),
    ]


def pages_of_states(provider: Provider) -> list[str]:
    """The pages of batches in each status, and of one that runs; all with long names."""
    free = Provider.objects.create(name=LONG, base_url="http://127.0.0.1:9/v1")
    batches = [ended_batch(provider, [LONG] * 3, failed={0: LONG}) for _ in BatchStatus]
    batches.append(ended_batch(free, [LONG] * 3))
    for batch, status in zip(batches, [*BatchStatus, BatchStatus.IN_PROGRESS], strict=True):
        Batch.objects.filter(pk=batch.pk).update(status=status, name=LONG)
    return [reverse("admin:batches_batch_change", args=[batch.pk]) for batch in batches]


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


def hostile_answer(batch: Batch) -> Answer:
    """The record of an answer that was not written into a row of a model that is gone."""
    Enrichment.objects.create(batch=batch, label=HOSTILE[:201], messages=[], digest="")
    return Answer.objects.create(
        batch_public_id=batch.public_id,
        prompt_id=1,
        label=HOSTILE[:201],
        row_pk=HOSTILE[:64],
        fields=HOSTILE,
        model=HOSTILE[:255],
        template_digest="",
        digest=b"",
        state="invalid",
        message=HOSTILE,
    )


def hostile_template(owner: User, batch: Batch) -> Template:
    """The second version of a template, which the batch has used."""
    for text in (f"{HOSTILE}\nfirst {LONG}", f"{HOSTILE}{HOSTILE}\nsecond {{{{ a }}}}"):
        messages = [{"role": "system", "content": HOSTILE}, {"role": "user", "content": text}]
        made = Template.objects.version_of(owner.pk, HOSTILE[:255], messages).template
    Batch.objects.filter(pk=batch.pk).update(template=made, columns=[[HOSTILE, HOSTILE]])
    return made


def hostile_endpoint(owner: User) -> WebhookEndpoint:
    """A receiver, with an event that it did not take."""
    endpoint = WebhookEndpoint.objects.create(
        owner=owner, name=HOSTILE[:100], url=f"https://example.com/{HOSTILE}", secret="x"
    )
    endpoint.deliveries.create(
        event_type="batch.completed", object_id=HOSTILE[:64], error=HOSTILE, status="failed"
    )
    return endpoint


def disabled_endpoint(owner: User) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(
        owner=owner, name=LONG, url="https://example.com/", secret="x", disabled_at=Now()
    )


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
        user_id=get_user_model()._default_manager.earliest("pk").pk,
        content_type_id=get_content_type_for_model(row).pk,
        object_id=row.pk,
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=HOSTILE,
    )
