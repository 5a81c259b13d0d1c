"""The unmodified official client uploads, lists, reads and deletes files."""

import hashlib
import io
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI

from tests.processes.api_stack import ApiServer
from tests.waiting import PATIENCE_S, wait_until

UNKNOWN = "file-00000000000000000000000000000000"


def jsonl(lines: int, size: int = 0) -> bytes:
    """A batch input of so many lines, each with a text of so many characters."""
    requests = (
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "simulated-small", "messages": [], "user": "x" * size},
        }
        for number in range(lines)
    )
    return b"".join(json.dumps(request).encode() + b"\n" for request in requests)


@pytest.fixture
def client(api_server: ApiServer) -> OpenAI:
    return api_server.client(max_retries=0)


def test_a_file_is_created_retrieved_read_and_deleted(client: OpenAI) -> None:
    content = jsonl(3)
    made = client.files.create(file=("prompts.jsonl", content), purpose="batch")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(content), "prompts.jsonl")
    assert (made.purpose, made.status) == ("batch", "processed")
    assert made.expires_at is None
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    assert client.files.list().data == [made]
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    assert client.files.list().data == []
    with pytest.raises(openai.NotFoundError):
        client.files.content(made.id)


def test_the_client_waits_for_processing_and_is_done_at_once(client: OpenAI) -> None:
    made = client.files.create(file=("a.jsonl", jsonl(1)), purpose="batch")
    assert client.files.wait_for_processing(made.id, max_wait_seconds=30).status == "processed"


def test_a_file_from_the_disk_keeps_its_name_and_may_expire(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "Fragen zu Größerem.jsonl"
    path.write_bytes(jsonl(1))
    made = client.files.create(
        file=path, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.filename == path.name
    assert made.expires_at == made.created_at + 3600


def test_the_client_walks_through_all_pages(client: OpenAI) -> None:
    made = [
        client.files.create(file=(f"{n}.jsonl", jsonl(1)), purpose="batch").id for n in range(7)
    ]
    assert [file.id for file in client.files.list(limit=3)] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == made
    first = client.files.list(limit=3)
    assert first.has_more
    last = client.files.list(limit=3, after=made[1])
    assert [file.id for file in last.data] == made[:1]
    assert not last.has_more
    assert list(client.files.list(purpose="vision")) == []


@pytest.mark.parametrize(
    ("part_size", "with_md5"), [(100, "md5"), (10_000, ""), (64 * 1024 * 1024, "md5")]
)
def test_the_client_uploads_in_parts(
    client: OpenAI, tmp_path: Path, part_size: int, with_md5: str
) -> None:
    content = jsonl(20)
    path = tmp_path / "large.jsonl"
    path.write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    upload = client.uploads.upload_file_chunked(
        file=path,
        mime_type="text/jsonl",
        purpose="batch",
        part_size=part_size,
        md5=md5 if with_md5 else openai.omit,
    )
    assert (upload.object, upload.status, upload.bytes) == ("upload", "completed", len(content))
    assert upload.file is not None
    assert (upload.file.filename, upload.file.bytes) == ("large.jsonl", len(content))
    assert client.files.content(upload.file.id).read() == content


def test_parts_are_joined_in_the_order_given_and_completing_twice_is_the_same(
    client: OpenAI,
) -> None:
    upload = client.uploads.create(
        bytes=6, filename="abc.txt", mime_type="text/plain", purpose="user_data"
    )
    assert upload.status == "pending"
    second, first = (
        client.uploads.parts.create(upload.id, data=io.BytesIO(data)).id
        for data in (b"def", b"abc")
    )
    done = client.uploads.complete(upload.id, part_ids=[first, second])
    assert done.file is not None
    assert client.files.content(done.file.id).read() == b"abcdef"
    again = client.uploads.complete(upload.id, part_ids=[first, second])
    assert again == done
    assert len(client.files.list().data) == 1


def test_a_cancelled_upload_takes_no_more(client: OpenAI) -> None:
    upload = client.uploads.create(
        bytes=3, filename="abc.txt", mime_type="text/plain", purpose="user_data"
    )
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.ConflictError, match="cancelled"):
        client.uploads.parts.create(upload.id, data=b"abc")


def test_a_refused_file_is_a_bad_request_with_a_param(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="jsonl") as refused:
        client.files.create(file=("a.txt", b"id,prompt\n1,hello\n"), purpose="batch")
    assert refused.value.param == "file"
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.jsonl", jsonl(1)), purpose="batch_output")  # type: ignore[arg-type]  # that is the test
    assert (refused.value.code, refused.value.param) == ("invalid_value", "purpose")
    assert client.files.list().data == []


def test_an_unknown_file_is_not_found(client: OpenAI) -> None:
    for call in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError, match=UNKNOWN) as refused:
            call(UNKNOWN)
        assert refused.value.code == "not_found"
        assert refused.value.request_id


def test_a_wrong_key_is_an_authentication_error(api_server: ApiServer) -> None:
    client = api_server.client(max_retries=0).with_options(api_key="tp_wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        client.files.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        client.files.create(file=("a.jsonl", jsonl(1000, 2000)), purpose="batch")


def test_a_useless_retry_is_not_made(api_server: ApiServer) -> None:
    """The client would try a 409 twice again if the header did not say that it is useless."""
    calls: list[str] = []
    client = api_server.client(
        max_retries=2,
        http_client=openai.DefaultHttpxClient(
            event_hooks={"response": [lambda response: calls.append(str(response.url))]}
        ),
    )
    upload = client.uploads.create(
        bytes=3, filename="abc.txt", mime_type="text/plain", purpose="user_data"
    )
    client.uploads.cancel(upload.id)
    calls.clear()
    with pytest.raises(openai.ConflictError):
        client.uploads.complete(upload.id, part_ids=["part_x"])
    assert len(calls) == 1


def test_a_file_that_is_too_large_is_refused_and_the_server_goes_on(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="MAX_FILE_BYTES") as refused:
        client.files.create(file=("a.jsonl", jsonl(6000, 1000)), purpose="batch")
    assert refused.value.status_code == 413
    assert client.files.list().data == []


def test_a_body_in_chunks_that_is_too_large_is_refused(api_server: ApiServer) -> None:
    def endless() -> object:
        for _ in range(6000):
            yield b"x" * 1000

    reply = httpx.post(
        f"{api_server.base_url}/files",
        timeout=PATIENCE_S,
        content=endless(),  # type: ignore[arg-type]  # an iterator
        headers={
            "Authorization": f"Bearer {api_server.token()}",
            "Content-Type": "multipart/form-data; boundary=b",
        },
    )
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "too_large"
    assert reply.headers["x-should-retry"] == "false"


def test_a_form_in_chunks_is_taken_as_any_other(api_server: ApiServer) -> None:
    content = jsonl(3000, 1000)

    def pieces() -> Iterator[bytes]:
        for name, text in (("purpose", b"batch"), ("file", content)):
            extra = '; filename="a.jsonl"' if name == "file" else ""
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
            for start in range(0, len(text), 100_000):
                yield text[start : start + 100_000]
            yield b"\r\n"
        yield b"--b--\r\n"

    client = api_server.client(max_retries=0)
    reply = httpx.post(
        f"{api_server.base_url}/files",
        timeout=PATIENCE_S,
        content=pieces(),
        headers={
            "Authorization": f"Bearer {client.api_key}",
            "Content-Type": "multipart/form-data; boundary=b",
        },
    )
    assert reply.status_code == 200, reply.text
    assert reply.json()["bytes"] == len(content)
    assert client.files.content(reply.json()["id"]).read() == content


def test_every_answer_has_a_request_id(client: OpenAI) -> None:
    raw = client.files.with_raw_response.list()
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    assert raw.request_id != client.files.with_raw_response.list().request_id


def files_of(server: ApiServer) -> set[Path]:
    """What is stored or being received, by name."""
    folder = Path(server.env["DATA_DIR"])
    return {
        path
        for name in ("files", "incoming")
        for path in (folder / name).rglob("*")
        if path.is_file()
    }


def open_files_of(server: ApiServer) -> list[str]:
    """What the server has open, also what has no name any more."""
    targets = []
    for descriptor in Path(f"/proc/{server.process.popen.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(descriptor.readlink()))
    return targets


def bodies_of(server: ApiServer) -> int:
    """How many bodies the server is receiving."""
    return sum("/incoming/" in name for name in open_files_of(server))


def test_a_client_that_goes_away_leaves_nothing(api_server: ApiServer) -> None:
    username = "goes-away"
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3900000\r\n"
        f"Authorization: Bearer {api_server.token(username)}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    before = files_of(api_server)
    with socket.create_connection(("127.0.0.1", api_server.port)) as connection:
        connection.sendall(head.encode() + b"{}\n" * 1_200_000)
        wait_until(lambda: bodies_of(api_server), "a body on the disk")
    wait_until(lambda: not bodies_of(api_server), "the end of that body")
    # What an earlier test has sent may be gone by now as well.
    wait_until(lambda: files_of(api_server) <= before, "the end of its file")
    assert api_server.client(username).files.list().data == []


def test_a_stranger_is_refused_before_anything_is_kept(api_server: ApiServer) -> None:
    """The answer comes while the body has not even been sent."""
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3900000\r\n"
        "Authorization: Bearer tp_wrong\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api_server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        for _ in range(39):
            connection.sendall(b"x" * 100_000)
            assert not bodies_of(api_server)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_download_that_is_left_does_not_stay_open(client: OpenAI, api_server: ApiServer) -> None:
    content = jsonl(1000, 3000)
    made = client.files.create(file=("large.jsonl", content), purpose="batch")
    with client.files.with_streaming_response.content(made.id) as response:
        next(response.iter_bytes(1000))
    again = client.files.content(made.id).read()
    assert hashlib.sha256(again).digest() == hashlib.sha256(content).digest()
    wait_until(
        lambda: not any(made.id in name for name in open_files_of(api_server)),
        "the end of the download",
    )
