"""Bodies that are too large, or large and a stranger's, are refused before Django keeps them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from batches.api.http.body_limit import FORM_BYTES, SMALL_BYTES, BodyLimit
from batches.secrets.tokens import create_token
from tests.api.calling import user_named
from tests.configuring import configure

pytestmark = pytest.mark.django_db(transaction=True)

FILE_BYTES = 3 * SMALL_BYTES
PIECE = b"x" * SMALL_BYTES


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    configure(settings, MAX_FILE_BYTES=FILE_BYTES)
    configure(settings, MAX_PART_BYTES=2 * SMALL_BYTES)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = SMALL_BYTES


@dataclass
class Asked:
    """A request over ASGI: how much of it the app behind the limit got, and the answer."""

    path: str
    headers: Mapping[str, str]
    pieces: Sequence[bytes]
    kept: int = 0
    hung_up: bool = False
    taken: int = 0
    sent: list[Any] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.sent[1]["body"])["error"]
        return error

    async def receive(self) -> dict[str, Any]:
        if self.taken == len(self.pieces):
            return {"type": "http.disconnect"}
        self.taken += 1
        more = self.taken < len(self.pieces)
        return {"type": "http.request", "body": self.pieces[self.taken - 1], "more_body": more}

    async def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            self.kept += len(message["body"])
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return
        self.hung_up = True


async def ask(path: str, pieces: Sequence[bytes], **headers: str) -> Asked:
    if "transfer_encoding" not in headers:
        headers.setdefault("content_length", str(sum(map(len, pieces))))
    asked = Asked(path, headers, pieces)
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": pairs}
    await BodyLimit(asked.app)(scope, asked.receive, asked.send)
    return asked


async def bearer() -> str:
    user = await sync_to_async(user_named)()
    return f"Bearer {await sync_to_async(create_token)(user)}"


async def test_a_large_file_of_a_user_passes() -> None:
    asked = await ask("/v1/files", [PIECE] * 3, authorization=await bearer())
    assert (asked.status, asked.kept) == (200, FILE_BYTES)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/uploads/upload_x/parts"])
async def test_a_form_may_be_a_little_larger_than_its_file(path: str) -> None:
    size = FILE_BYTES if path == "/v1/files" else 2 * SMALL_BYTES
    asked = await ask(path, [b"x" * (size + FORM_BYTES)], authorization=await bearer())
    assert asked.status == 200
    asked = await ask(path, [b"x" * (size + FORM_BYTES + 1)], authorization=await bearer())
    assert (asked.status, asked.kept) == (413, 0)
    assert str(size) in asked.error["message"]


async def test_of_a_body_in_chunks_no_more_is_kept_than_may_be() -> None:
    asked = await ask(
        "/v1/files", [PIECE] * 5, transfer_encoding="chunked", authorization=await bearer()
    )
    assert asked.status == 413
    assert asked.hung_up
    assert asked.kept <= FILE_BYTES + FORM_BYTES
    # Read to its end: who is still sending does not read the answer.
    assert asked.taken == 5


async def test_an_endless_body_is_not_read_for_ever() -> None:
    asked = await ask(
        "/v1/files", [PIECE] * 1000, transfer_encoding="chunked", authorization=await bearer()
    )
    assert asked.status == 413
    assert asked.taken < 10


@pytest.mark.parametrize("header", ["", "Bearer tp_wrong", "Bearer \xff"])
async def test_a_large_body_of_a_stranger_is_refused_unread_by_the_app(header: str) -> None:
    for framing in ({}, {"transfer_encoding": "chunked"}):
        asked = await ask("/v1/files", [PIECE, PIECE], authorization=header, **framing)
        assert (asked.status, asked.kept, asked.hung_up) == (401, 0, False)
        assert asked.error["code"] == "invalid_api_key"


async def test_a_small_body_of_a_stranger_is_djangos_to_refuse() -> None:
    assert (await ask("/v1/files", [PIECE])).status == 200
    assert (await ask("/v1/models", [b""])).status == 200


async def test_other_bodies_of_the_api_are_smaller() -> None:
    asked = await ask("/v1/batches", [PIECE, b"x"], authorization=await bearer())
    assert (asked.status, asked.kept) == (413, 0)
    assert "upload a file" in asked.error["message"]


async def test_where_people_log_in_a_session_is_asked_for() -> None:
    session = SessionStore()
    session[SESSION_KEY] = "1"
    await sync_to_async(session.save)()
    logged_in = f"threephase_session={session.session_key}"
    anonymous = SessionStore()
    await sync_to_async(anonymous.save)()
    asked = await ask("/admin/batches/batch/add/", [PIECE, PIECE], cookie=logged_in)
    assert asked.status == 200
    for cookie in ("", "threephase_session=wrong", f"threephase_session={anonymous.session_key}"):
        asked = await ask("/admin/batches/batch/add/", [PIECE, PIECE], cookie=cookie)
        assert (asked.status, asked.kept) == (403, 0)
    asked = await ask("/admin/", [PIECE, PIECE], authorization=await bearer())
    assert asked.status == 403


async def test_a_length_that_lies_is_counted() -> None:
    asked = await ask("/v1/files", [PIECE] * 5, content_length="10", authorization=await bearer())
    assert asked.status == 413
    assert asked.kept <= FILE_BYTES + FORM_BYTES
