"""Files: what is taken, what is refused, whose they are, and that nothing is left behind."""

import io
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from batches.files.files import FileRefused, NewFile, remove_leftovers, safe_filename, store_file
from batches.lifecycle import BatchStatus
from batches.models import Batch, File, Provider, UploadPart
from batches.workers.sweeper import sweep
from tests.api.calling import client_of, error_of, user_named
from tests.configuring import configure

pytestmark = pytest.mark.django_db

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Where bytes go, with nothing in it."""
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    configure(settings, DATA_DIR=tmp_path)
    (tmp_path / "incoming").mkdir()
    return tmp_path


@pytest.fixture
def client() -> Client:
    return client_of()


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def send(client: Client, content: bytes = LINE, name: str = "a.jsonl", **fields: Any) -> Any:
    file = io.BytesIO(content)
    file.name = name
    return client.post("/v1/files", {"purpose": "batch", **fields, "file": file})


def create(client: Client, content: bytes = LINE, **fields: Any) -> str:
    reply = send(client, content, **fields)
    assert reply.status_code == 200, reply.content
    public_id: str = reply.json()["id"]
    return public_id


def read(reply: Any) -> bytes:
    return b"".join(reply.streaming_content)


def test_a_file_has_all_fields_of_the_contract(client: Client) -> None:
    before = int(time.time())
    body = send(client).json()
    assert before - 1 <= body.pop("created_at") <= time.time() + 1
    assert body.pop("id").startswith("file-")
    assert body == {
        "object": "file",
        "bytes": len(LINE),
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"purpose": ""}, "invalid_value", "purpose"),
        ({"purpose": "batch_output"}, "invalid_value", "purpose"),
        ({"purpose": ["batch", "vision"]}, "invalid_value", "purpose"),
        ({"colour": "red"}, "unknown_parameter", "colour"),
        (
            {"expires_after[anchor]": "created_at"},
            "missing_required_parameter",
            "expires_after.seconds",
        ),
        ({"expires_after[seconds]": 3600}, "missing_required_parameter", "expires_after.anchor"),
        (
            {"expires_after[anchor]": "last_used", "expires_after[seconds]": 3600},
            "invalid_value",
            "expires_after.anchor",
        ),
        *(
            (
                {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds},
                "invalid_value",
                "expires_after.seconds",
            )
            for seconds in ("3599", "2592001", "-1", "x", "1e99", "9" * 5000)
        ),
        (
            {
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": 3600,
                "expires_after[x]": 1,
            },
            "unknown_parameter",
            "expires_after.x",
        ),
    ],
)
def test_a_bad_field_is_400_and_leaves_nothing(
    client: Client, storage: Path, fields: dict[str, Any], code: str, param: str
) -> None:
    error = error_of(send(client, **fields), 400)
    assert (error["code"], error["param"]) == (code, param)
    assert not File.objects.exists()
    assert everything_in(storage) == []


def test_purpose_and_file_are_required(client: Client) -> None:
    file = SimpleUploadedFile("a.jsonl", LINE)
    error = error_of(client.post("/v1/files", {"file": file}), 400)
    assert (error["code"], error["param"]) == ("missing_required_parameter", "purpose")
    error = error_of(client.post("/v1/files", {"purpose": "batch"}), 400)
    assert (error["code"], error["param"]) == ("missing_required_parameter", "file")
    error = error_of(client.post("/v1/files", {"purpose": "batch", "file": "text"}), 400)
    assert error["param"] == "file"


def test_only_one_file_is_taken(client: Client, storage: Path) -> None:
    files = [SimpleUploadedFile(f"{n}.jsonl", LINE) for n in range(2)]
    assert error_of(client.post("/v1/files", {"purpose": "batch", "file": files}), 400)
    form = {"purpose": "batch", "file": files[0], "extra": files[1]}
    assert error_of(client.post("/v1/files", form), 400)["param"] == "extra"
    assert everything_in(storage) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"hello\n",
        b"id,prompt\n1,2\n",
        b"[]\n",
        b'"text"\n',
        b'[{"custom_id": "a"}]',
        b'{"custom_id":\n',
        b"\x00\x00",
        b"[" * 100_000,
    ],
)
def test_what_is_no_jsonl_is_no_batch_file(client: Client, storage: Path, content: bytes) -> None:
    assert error_of(send(client, content), 400)["param"] == "file"
    assert everything_in(storage) == []


@pytest.mark.parametrize(
    "content",
    [
        LINE,
        LINE.strip(),
        b"\xef\xbb\xbf" + LINE,
        b"\r\n\n" + LINE,
        LINE + b"not json\n",
        b'{"a": "' + b"x" * 21 * 2**20,
    ],
)
def test_only_the_first_line_is_looked_at(client: Client, content: bytes) -> None:
    """The others are the batch's to refuse, with their numbers."""
    public_id = create(client, content)
    assert read(client.get(f"/v1/files/{public_id}/content")) == content


def test_other_purposes_take_any_bytes_but_none(client: Client) -> None:
    content = bytes(range(256))
    public_id = create(client, content, purpose="vision")
    assert read(client.get(f"/v1/files/{public_id}/content")) == content
    assert error_of(send(client, b"", purpose="vision"), 400)


def test_a_file_that_is_too_large_is_413_and_leaves_nothing(
    client: Client, storage: Path, settings: Any
) -> None:
    configure(settings, MAX_FILE_BYTES=len(LINE))
    create(client, LINE)
    stored = everything_in(storage)
    error = error_of(send(client, LINE + b" "), 413)
    assert "MAX_FILE_BYTES" in error["message"]
    assert everything_in(storage) == stored
    assert File.objects.count() == 1


def form(*, end: bytes = b"--b--\r\n", content: bytes = LINE) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        + content
        + b"\r\n"
        + end
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(end=b""), "multipart/form-data; boundary=b"),
        (form(end=b"--b"), "multipart/form-data; boundary=b"),
        (form(end=b"--c--\r\n"), "multipart/form-data; boundary=b"),
        (form()[:-40], "multipart/form-data; boundary=b"),
        (form(end=b"", content=LINE + b"--"), "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data; boundary=b"),
        (b"\x00" * 1000, "multipart/form-data; boundary=b"),
        (form(), "multipart/form-data"),
        (form(), "multipart/form-data; boundary=" + "b" * 1000),
    ],
)
def test_a_form_that_breaks_off_leaves_nothing(
    client: Client, storage: Path, body: bytes, kind: str
) -> None:
    assert client.post("/v1/files", form(), "multipart/form-data; boundary=b").status_code == 200
    stored = everything_in(storage)
    assert error_of(client.post("/v1/files", body, kind), 400)
    assert File.objects.count() == 1
    assert everything_in(storage) == stored


def test_another_kind_of_body_is_415(client: Client) -> None:
    assert error_of(client.post("/v1/files", {"a": 1}, content_type="application/json"), 415)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.jsonl", "a.jsonl"),
        ("a\r\nSet-Cookie: x.jsonl", "aSet-Cookie: x.jsonl"),
        ("\u202eevil.jsonl", "evil.jsonl"),
        ("größer \U0001f600.jsonl", "größer \U0001f600.jsonl"),
        ("x" * 300 + ".jsonl", "x" * 255),
        ("a\ud800\x00b", "ab"),
    ],
)
def test_a_name_is_shown_without_path_and_what_cannot_be_seen(given: str, shown: str) -> None:
    assert safe_filename(given) == shown


@pytest.mark.parametrize("name", ["", "..", "/", "a/..", "\x00", "\u200b"])
def test_a_file_needs_a_name(name: str) -> None:
    with pytest.raises(FileRefused):
        safe_filename(name)


def test_a_name_cannot_write_headers_nor_leave_the_folder(client: Client, storage: Path) -> None:
    public_id = create(client, name='../"quoted"; x="\r\nEvil: 1.jsonl')
    reply = client.get(f"/v1/files/{public_id}/content")
    assert read(reply) == LINE
    assert reply["Content-Disposition"].startswith("attachment")
    assert "Evil" not in reply
    [path] = everything_in(storage)
    assert path.is_relative_to(storage / "files")
    assert path.name == public_id


def test_content_is_for_saving_and_not_for_showing(client: Client) -> None:
    public_id = create(client, b"<script>alert(1)</script>", purpose="vision", name="a.html")
    reply = client.get(f"/v1/files/{public_id}/content", headers={"Accept": "text/html"})
    assert reply["Content-Type"] == "application/octet-stream"
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Content-Disposition"] == 'attachment; filename="a.html"'
    assert reply["Content-Length"] == "25"
    assert "x-incomplete" not in reply
    head = client.head(f"/v1/files/{public_id}/content")
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", "25")


def test_stored_bytes_are_nobody_elses(client: Client, storage: Path) -> None:
    create(client)
    [path] = everything_in(storage)
    assert path.stat().st_mode & 0o077 == 0


def test_bytes_without_a_row_do_not_stay(storage: Path) -> None:
    """Here the row cannot be made since its owner is not stored."""
    user = user_named()
    new = NewFile(owner=user, purpose="batch", filename="a.jsonl")
    user.pk = None
    with pytest.raises((IntegrityError, ValueError)):
        store_file(new, SimpleUploadedFile("a.jsonl", LINE))
    assert everything_in(storage) == []


PATHS = [
    ("get", "/v1/files/{id}"),
    ("get", "/v1/files/{id}/content"),
    ("head", "/v1/files/{id}/content"),
    ("delete", "/v1/files/{id}"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_file_of_another_user_is_as_good_as_none(client: Client, method: str, path: str) -> None:
    public_id = create(client)
    stranger = client_of()
    theirs = getattr(stranger, method)(path.format(id=public_id))
    unknown = getattr(stranger, method)(path.format(id="file-unknown"))
    assert theirs.status_code == unknown.status_code == 404
    if method != "head":
        error = error_of(theirs, 404)
        message = error_of(unknown, 404)["message"]
        assert error["message"].replace(public_id, "file-unknown") == message
    assert File.objects.filter(public_id=public_id).exists()
    assert stranger.get("/v1/files").json()["data"] == []
    assert error_of(stranger.get(f"/v1/files?after={public_id}"), 400)["param"] == "after"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_staff_may_do_it_all(client: Client, method: str, path: str) -> None:
    public_id = create(client)
    staff = client_of(user_named(is_staff=True))
    assert getattr(staff, method)(path.format(id=public_id)).status_code == 200
    assert staff.get("/v1/files").status_code == 200


@pytest.mark.parametrize("public_id", ["%00", "x" * 5000, "' OR 1=1--", "%F0%9F%90%9B", "1"])
def test_a_strange_id_is_404(client: Client, public_id: str) -> None:
    create(client)
    assert error_of(client.get(f"/v1/files/{public_id}"), 404)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("order=up", "order"),
        ("after=file-unknown", "after"),
        ("after=%00", "after"),
    ],
)
def test_a_bad_page_is_400(client: Client, query: str, param: str) -> None:
    error = error_of(client.get(f"/v1/files?{query}"), 400)
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_pages_begin_after_an_id_and_end(client: Client) -> None:
    made = [create(client) for _ in range(5)]
    create(client_of())
    first = client.get("/v1/files?limit=2").json()
    assert [file["id"] for file in first["data"]] == made[:2:-1]
    assert (first["object"], first["has_more"]) == ("list", True)
    assert (first["first_id"], first["last_id"]) == (made[4], made[3])
    last = client.get(f"/v1/files?limit=3&after={made[3]}").json()
    assert [file["id"] for file in last["data"]] == made[2::-1]
    assert last["has_more"] is False
    assert len(client.get("/v1/files").json()["data"]) == 5
    upwards = client.get(f"/v1/files?order=asc&after={made[3]}").json()
    assert [file["id"] for file in upwards["data"]] == [made[4]]


def test_an_empty_page_has_all_its_fields(client: Client) -> None:
    assert client.get("/v1/files?purpose=vision%00").json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_a_page_costs_the_same_however_long_it_is(
    client: Client, django_assert_num_queries: Any
) -> None:
    client.get("/v1/files")
    for _ in range(3):
        create(client)
    # The token, and the page; its last use was noted by the first request.
    with django_assert_num_queries(3):
        assert len(client.get("/v1/files").json()["data"]) == 3


def batch_of_file(file: File, status: BatchStatus) -> Batch:
    provider = Provider.objects.create(name="p", base_url="http://127.0.0.1:9/v1")
    return Batch.objects.create(
        provider=provider,
        owner=file.owner,
        input_file=file,
        endpoint="/v1/chat/completions",
        status=status,
    )


def test_deleting_removes_row_and_bytes(
    client: Client, storage: Path, django_capture_on_commit_callbacks: Any
) -> None:
    public_id = create(client)
    with django_capture_on_commit_callbacks(execute=True):
        reply = client.delete(f"/v1/files/{public_id}")
    assert reply.json() == {"id": public_id, "object": "file", "deleted": True}
    assert everything_in(storage) == []
    assert error_of(client.delete(f"/v1/files/{public_id}"), 404)


def test_a_file_that_is_being_read_is_not_deleted(client: Client) -> None:
    public_id = create(client)
    batch = batch_of_file(File.objects.get(), BatchStatus.VALIDATING)
    assert batch.public_id in error_of(client.delete(f"/v1/files/{public_id}"), 409)["message"]
    assert client.get(f"/v1/files/{public_id}").status_code == 200
    Batch.objects.update(status=BatchStatus.IN_PROGRESS)
    assert client.delete(f"/v1/files/{public_id}").status_code == 200
    batch.refresh_from_db()
    assert batch.input_file is None


def expire(public_id: str) -> None:
    File.objects.filter(public_id=public_id).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )


def test_an_expired_file_is_gone_at_once_and_swept_later(
    client: Client, storage: Path, django_capture_on_commit_callbacks: Any
) -> None:
    life: dict[str, Any] = {
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "3600",
    }
    expired, fresh = create(client, **life), create(client, **life)
    expire(expired)
    assert error_of(client.get(f"/v1/files/{expired}"), 404)
    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [fresh]
    with django_capture_on_commit_callbacks(execute=True):
        sweep(lambda _: None)
    assert [file.public_id for file in File.objects.all()] == [fresh]
    assert [path.name for path in everything_in(storage)] == [fresh]


def test_the_sweeper_leaves_a_file_that_is_being_read(client: Client) -> None:
    expired = create(client)
    batch_of_file(File.objects.get(), BatchStatus.VALIDATING)
    expire(expired)
    sweep(lambda _: None)
    assert File.objects.count() == 1


def test_what_a_killed_process_left_is_removed_after_a_day(storage: Path) -> None:
    old, new = storage / "incoming" / "old.upload", storage / "incoming" / "new.upload"
    for path in (old, new):
        path.write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    remove_leftovers()
    assert [path.name for path in everything_in(storage)] == ["new.upload"]


@pytest.mark.parametrize("model", [File, UploadPart])
def test_bytes_are_in_the_storage_that_the_project_names(model: type[File | UploadPart]) -> None:
    field: Any = model._meta.get_field("content")
    assert field.storage is storages["batches"]


def test_bytes_that_are_gone_are_our_fault(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    public_id = create(client)
    File.objects.get().content.delete(save=False)
    client.raise_request_exception = False
    assert error_of(client.get(f"/v1/files/{public_id}/content"), 500)["type"] == "server_error"
