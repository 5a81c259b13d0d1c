"""A process that does for a test what a user or operator would: one JSON line in, one out.

It has the settings of the stack under test, so that messages and transactions are real ones.
`python -m tests.processes.driver`; tests talk to it through `Driver` in stack.py.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.files import File as Opened
from django.db import close_old_connections
from django.db.models import Max
from django.db.models.functions import Now
from django.test import Client

from batches.actions import batches as batch_actions
from batches.actions import providers as provider_actions
from batches.models import Batch, Chunk, File, Prompt, Provider, Result, Slot, Worker
from batches.secrets.tokens import create_token
from batches.workers import messages
from batches.workers.sweeper import sweep as sweep_once
from tests.admin.hostile import make_hostile
from tests.checker import check_batch
from tests.makers import batch_of, options, prompts_of


def create(base_url: str, texts: list[str], options: dict[str, Any]) -> int:
    if "completion_window" in options:
        options["completion_window"] = timedelta(seconds=options["completion_window"])
    return batch_of(provider_actions.provider_at(base_url, ""), texts, **options).pk


def create_with_callback(base_url: str, text: str, url: str) -> int:
    """A batch of one prompt whose owner wants to hear of its end at this address."""
    owner, _ = User.objects.get_or_create(username="hooked")
    return batch_actions.create_inline_batch(
        provider_actions.provider_at(base_url, ""),
        prompts_of([text]),
        options(callback_url=url),
        origin=batch_actions.Origin(owner=owner),
    ).pk


def create_of_file(base_url: str, path: str) -> int:
    """A batch whose prompts a worker is to read from a copy of this file."""
    file = File(purpose="batch", filename="in.jsonl", bytes=Path(path).stat().st_size)
    with Path(path).open("rb") as stream:
        file.content.save("in.jsonl", Opened(stream), save=False)
    file.save()
    provider = provider_actions.provider_at(base_url, "")
    return batch_actions.create_batch_of_file(
        provider, file, file.public_id, options(), origin=batch_actions.Origin()
    ).pk


def prompts(batch: int) -> int:
    """The prompts that are stored."""
    return Prompt.objects.filter(batch_id=batch).count()


def status(batch: int) -> dict[str, Any]:
    row = Batch.objects.select_related("provider").get(pk=batch)
    columns = (
        *("public_id", "status", "total", "succeeded", "failed", "calls"),
        *("pause_reason", "standstill"),
    )
    found = {column: getattr(row, column) for column in columns}
    return {**found, "runners": Slot.objects.taken().filter(batch=row).count()}


def times(public_id: str) -> dict[str, float | str]:
    """The seconds of a completed batch until its prompts were stored, from then on, from its last
    answer to its end, and together; and its output file."""
    row = Batch.objects.select_related("output_file").get(public_id=public_id)
    assert row.in_progress_at
    assert row.completed_at
    assert row.output_file
    return {
        "ingest_s": (row.in_progress_at - row.created_at).total_seconds(),
        "run_s": (row.completed_at - row.in_progress_at).total_seconds(),
        "finish_s": row.completed_at.timestamp() - row.active_until,
        "wall_s": (row.completed_at - row.created_at).total_seconds(),
        "output_file": row.output_file.public_id,
    }


def check(batch: int, ended_as: str) -> None:
    check_batch(Batch.objects.get(pk=batch), status=ended_as)


def account(batch: int) -> dict[str, int]:
    """What is stored of a batch, to compare with what was asked for."""
    row = Batch.objects.get(pk=batch)
    results = Result.objects.filter(batch=row)
    stored = results.count()
    distinct = results.values("index").distinct().count()
    unanswered = Prompt.objects.filter(batch=row, result=None).count()
    return {
        "lost": max(unanswered, row.total - distinct),
        "recorded_twice": max(stored - distinct, row.succeeded + row.failed - stored, 0),
    }


def batches() -> list[int]:
    """All batches, the oldest first."""
    return list(Batch.objects.order_by("pk").values_list("pk", flat=True))


def most_calls(batch: int) -> int:
    """The most calls that a result of a batch needed."""
    return Result.objects.filter(batch_id=batch).aggregate(most=Max("calls"))["most"] or 0


def kinds(batch: int) -> dict[str, int]:
    """The results by their kind of failure, "" for those that succeeded."""
    return Counter(Result.objects.filter(batch_id=batch).values_list("kind", flat=True))


def failures(batch: int) -> dict[int, str]:
    failed = Result.objects.filter(batch_id=batch, status=Result.FAILED)
    return dict(failed.values_list("index", "kind"))


def results(batch: int) -> list[Any]:
    """Everything that is stored as a result, row by row."""
    rows = Result.objects.filter(batch_id=batch).order_by("index").values_list()
    return [list(map(str, row)) for row in rows]


def answers(batch: int) -> list[str]:
    """What was answered to each prompt, in the order of the prompts."""
    stored = Result.objects.filter(batch_id=batch).order_by("index")
    replies = (json.loads(body or "null") for body in stored.values_list("body", flat=True))
    return [reply["choices"][0]["message"]["content"] for reply in replies]


def unequal(batch: int) -> int:
    """The number of answers that differ from one to an equal request before them."""
    rows = Result.objects.filter(batch_id=batch).order_by("index")
    first: dict[bytes, str] = {}
    found = 0
    for digest, body in rows.values_list("prompt__digest", "body").iterator():
        answer = json.loads(body or "null")["choices"][0]["message"]["content"]
        found += first.setdefault(bytes(digest or b""), answer) != answer
    return found


def chunks(batch: int) -> list[dict[str, Any]]:
    columns = ("lo", "state", "lease_token", "crashes", "suspect_crashes")
    return list(Chunk.objects.filter(batch_id=batch).order_by("lo").values(*columns))


def cancel(batch: int) -> str:
    return batch_actions.cancel_batch(Batch.objects.get(pk=batch)).status


def retry(batch: int) -> str:
    return batch_actions.retry_batch(Batch.objects.get(pk=batch)).status


def resume(batch: int) -> str:
    return batch_actions.resume_batch(Batch.objects.get(pk=batch)).status


def expire(batch: str) -> None:
    """Have the completion window of a batch be over."""
    Batch.objects.filter(public_id=batch).update(expires_at=Now())


def enqueue(batch: int, times: int) -> None:
    for _ in range(times):
        messages.enqueue(batch)


def sweep() -> int:
    return sweep_once(messages.enqueue).enqueued


def provider(name: str, base_url: str, model_names: list[str]) -> None:
    """A provider as staff would make it; the first one is the default."""
    first = not Provider.objects.exists()
    Provider.objects.create(
        name=name,
        base_url=base_url,
        model_names=model_names,
        extra_endpoints=["/v1/rerank"],
        is_default=first,
    )


def provider_id(name: str) -> int:
    return Provider.objects.get(name=name).pk


def make_probe_due() -> None:
    """Let the time come to try providers again that are paused."""
    Provider.objects.filter(probe_at__isnull=False).update(probe_at=Now())


def resume_provider() -> None:
    provider_actions.resume_provider(Provider.objects.get())


def limit(base_url: str, **limits: int) -> None:
    """Tell the limits of the provider at this address."""
    Provider.objects.filter(base_url=base_url).update(**limits)


def token(username: str) -> str:
    """A token of a user, who is made if there is none."""
    return create_token(User.objects.get_or_create(username=username)[0])


def superuser(username: str, password: str) -> None:
    """Make a user who may do everything."""
    User.objects.create_superuser(username, password=password)


def staff(username: str, password: str, permissions: list[str]) -> None:
    """Make a user of the staff with these permissions."""
    user = User.objects.create_user(username, password=password, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))


def session_cookie(username: str) -> dict[str, str]:
    """Log a user in; return the cookie that a browser would have got."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value}


def page(path: str) -> int:
    """The status of a page of the admin, for a superuser."""
    user, _ = User.objects.get_or_create(username="visitor", is_staff=True, is_superuser=True)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client.get(path).status_code


def workers() -> list[str]:
    """The workers that have a heartbeat, or had one until they were killed."""
    return list(Worker.objects.order_by("name").values_list("name", flat=True))


def library(name: str, **arguments: Any) -> Any:
    """A command of the project with rows; other projects do not have it."""
    return getattr(import_module("tests.library.commands"), name)(**arguments)


COMMANDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(
            create,
            create_of_file,
            create_with_callback,
            prompts,
            status,
            times,
            check,
            account,
            batches,
            most_calls,
            kinds,
            failures,
            results,
            answers,
            unequal,
            chunks,
        ),
        *(cancel, retry, resume, expire, enqueue, sweep, provider, provider_id, limit, token),
        *(
            superuser,
            staff,
            session_cookie,
            make_probe_due,
            resume_provider,
            workers,
            page,
            make_hostile,
        ),
        library,
    )
}


def answer(line: str) -> dict[str, Any]:
    """Carry out one command; an exception is told by its kind and message."""
    command, arguments = json.loads(line)
    # Connections do not outlive a command: a test may end them in between.
    close_old_connections()
    try:
        with redirect_stdout(sys.stderr):
            return {"value": COMMANDS[command](**arguments)}
    except Exception as error:
        return {"error": str(error) or repr(error), "kind": type(error).__name__}
    finally:
        close_old_connections()


def serve(lines: Iterable[str]) -> None:
    for line in lines:
        print(json.dumps(answer(line)), flush=True)


if __name__ == "__main__":
    serve(sys.stdin)
