"""Who reads slowly keeps no connection to the database meanwhile."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from batches.actions import batches as batch_actions
from batches.api.http.handler import Handler
from batches.models import Batch, Provider, Result
from batches.output.pages import PAGE_BYTES
from batches.runner.run import run_slice
from batches.secrets.tokens import create_token
from tests.api.calling import user_named
from tests.api.test_results import in_thread
from tests.makers import options, prompts_of


class Connections:
    """The connections that were opened since, in whatever thread."""

    def __init__(self) -> None:
        self._opened: list[BaseDatabaseWrapper] = []
        connection_created.connect(self._add)

    def _add(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        self._opened.append(connection)

    @property
    def were_used(self) -> bool:
        return bool(self._opened)

    @property
    def are_open(self) -> bool:
        return any(connection.connection is not None for connection in self._opened)


def ended_batch(provider: Provider) -> tuple[str, Batch]:
    """A batch whose every result is a page of its own, and a token of its owner."""
    user = user_named()
    made = batch_actions.create_batch(
        provider, prompts_of(["a", "b", "c"]), options(), origin=batch_actions.Origin(user)
    )
    assert run_slice(made.pk).ended
    long = json.dumps({"text": "x" * PAGE_BYTES})
    Result.objects.filter(batch=made).update(body=long)
    batch = Batch.objects.select_related("output_file").get(pk=made.pk)
    return create_token(user), batch


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path", ["files/{file}/content", "batches/{batch}/results", "batches/{batch}/events", "batches"]
)
async def test_no_connection_is_open_while_a_client_reads(provider: Provider, path: str) -> None:
    token, batch = await in_thread(ended_batch, provider)
    assert batch.output_file
    address = path.format(file=batch.output_file.public_id, batch=batch.public_id)
    connections = Connections()
    read = 0
    held: list[int] = []

    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal read
        read += len(message.get("body", b""))
        if connections.are_open:
            held.append(read)

    asked: list[bool] = []
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"host", b"testserver")]
    scope = {"type": "http", "method": "GET", "path": f"/v1/{address}", "headers": headers}
    await Handler()(scope, receive, send)
    assert connections.were_used
    assert read > (PAGE_BYTES if "{" in path and "events" not in path else 0)
    assert held == []
