"""Uploads in parts: what becomes a file, what does not, and that nothing is left behind."""

import hashlib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from batches.files.files import FileConflict
from batches.files.uploads import MAX_PARTS, complete_upload
from batches.lifecycle import UploadStatus
from batches.models import File, Upload, UploadPart
from batches.workers.sweeper import sweep
from tests.api.calling import client_of, error_of, user_named
from tests.api.test_files import everything_in
from tests.configuring import configure

pytestmark = pytest.mark.django_db

NEW = {"bytes": 6, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Where bytes go, with nothing in it."""
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    (tmp_path / "incoming").mkdir()
    return tmp_path


@pytest.fixture
def client() -> Client:
    return client_of()


def begin(client: Client, **changes: Any) -> Any:
    return client.post("/v1/uploads", {**NEW, **changes}, content_type="application/json")


def begun(client: Client, **changes: Any) -> str:
    reply = begin(client, **changes)
    assert reply.status_code == 200, reply.content
    public_id: str = reply.json()["id"]
    return public_id


def add(client: Client, upload: str, data: bytes) -> Any:
    form = {"data": SimpleUploadedFile("upload", data)}
    return client.post(f"/v1/uploads/{upload}/parts", form)


def added(client: Client, upload: str, *parts: bytes) -> list[str]:
    return [add(client, upload, part).json()["id"] for part in parts]


def complete(client: Client, upload: str, part_ids: Any, **more: Any) -> Any:
    body = {"part_ids": part_ids, **more}
    return client.post(f"/v1/uploads/{upload}/complete", body, content_type="application/json")


def cancel(client: Client, upload: str) -> Any:
    return client.post(f"/v1/uploads/{upload}/cancel")


def test_an_upload_has_all_fields_of_the_contract(client: Client) -> None:
    body = begin(client).json()
    assert body.pop("id").startswith("upload_")
    assert body.pop("expires_at") - body.pop("created_at") == 3600
    assert body == {
        "object": "upload",
        "bytes": 6,
        "filename": "a.txt",
        "purpose": "user_data",
        "status": "pending",
        "file": None,
    }


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"bytes": 0}, 400, "bytes"),
        ({"bytes": -1}, 400, "bytes"),
        ({"bytes": "6"}, 400, "bytes"),
        ({"bytes": 10**30}, 413, "bytes"),
        ({"bytes": 8 * 1024**3 + 1}, 413, "bytes"),
        ({"filename": ""}, 400, "filename"),
        ({"filename": "../.."}, 400, "filename"),
        ({"mime_type": ""}, 400, "mime_type"),
        ({"mime_type": "x" * 256}, 400, "mime_type"),
        ({"purpose": "batch_output"}, 400, "purpose"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 1}},
            400,
            "expires_after.seconds",
        ),
        ({"expires_after": 3600}, 400, "expires_after"),
        ({"colour": "red"}, 400, "colour"),
    ],
)
def test_a_bad_upload_is_refused(
    client: Client, changes: dict[str, Any], status: int, param: str
) -> None:
    assert error_of(begin(client, **changes), status)["param"] == param
    assert not Upload.objects.exists()


def test_parts_become_a_file_in_the_order_given(client: Client, storage: Path) -> None:
    upload = begun(client, expires_after={"anchor": "created_at", "seconds": 7200})
    part = add(client, upload, b"def").json()
    assert part["id"].startswith("part_")
    assert (part["object"], part["upload_id"]) == ("upload.part", upload)
    [first] = added(client, upload, b"abc")
    body = complete(client, upload, [first, part["id"]]).json()
    assert (body["id"], body["status"]) == (upload, "completed")
    file = body["file"]
    assert (file["bytes"], file["filename"], file["object"]) == (6, "a.txt", "file")
    assert file["expires_at"] - file["created_at"] == 7200
    [path] = everything_in(storage)
    assert path.read_bytes() == b"abcdef"
    assert path.name == file["id"]


def test_completing_twice_gives_the_same_answer_and_one_file(client: Client) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    first = complete(client, upload, parts)
    assert first.status_code == 200
    assert complete(client, upload, parts).json() == first.json()
    assert File.objects.count() == 1
    assert error_of(complete(client, upload, parts[:1]), 400)["param"] == "part_ids"


def test_who_completes_too_late_gets_what_the_other_made(client: Client) -> None:
    """The upload was pending when they looked, and its parts were gone when they read them."""
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    late = Upload.objects.get()
    made = complete(client, upload, parts).json()["file"]["id"]
    assert late.status == UploadStatus.PENDING
    ended = complete_upload(late, parts)
    assert ended.file
    assert ended.file.public_id == made


def test_who_completes_what_was_cancelled_meanwhile_is_told(client: Client) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    late = Upload.objects.get()
    cancel(client, upload)
    with pytest.raises(FileConflict, match="cancelled"):
        complete_upload(late, parts)
    assert not File.objects.exists()


def test_a_part_that_was_sent_twice_does_no_harm(client: Client, storage: Path) -> None:
    """A client that did not hear of a part sends it again, and names the second one."""
    upload = begun(client)
    added(client, upload, b"abc")
    parts = added(client, upload, b"abc", b"def")
    assert complete(client, upload, parts).status_code == 200
    [path] = everything_in(storage)
    assert path.read_bytes() == b"abcdef"


@pytest.mark.parametrize(
    ("chosen", "param"),
    [
        ([], "part_ids"),
        ([0], "part_ids"),
        ([0, 0], "part_ids"),
        ([0, 1, 0], "part_ids"),
        (["part_unknown", 1], "part_ids[0]"),
        ([0, "part_\x01"], "part_ids[1]"),
    ],
)
def test_parts_that_do_not_make_up_the_file_are_refused(
    client: Client, chosen: list[int | str], param: str
) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    ids = [parts[item] if isinstance(item, int) else item for item in chosen]
    assert error_of(complete(client, upload, ids), 400)["param"] == param
    assert not File.objects.exists()
    assert complete(client, upload, parts).status_code == 200


def test_a_part_of_another_upload_is_unknown(client: Client) -> None:
    upload, other = begun(client), begun(client)
    parts = added(client, upload, b"abc") + added(client, other, b"def")
    assert error_of(complete(client, upload, parts), 400)["param"] == "part_ids[1]"


def test_the_md5_is_held_against_the_bytes(client: Client, storage: Path) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    assert error_of(complete(client, upload, parts, md5="0" * 32), 400)["param"] == "md5"
    assert error_of(complete(client, upload, parts, md5="no"), 400)["param"] == "md5"
    right = hashlib.md5(b"abcdef", usedforsecurity=False).hexdigest()
    assert complete(client, upload, parts, md5=right.upper()).status_code == 200
    assert len(everything_in(storage)) == 1


def test_a_batch_file_in_parts_must_be_jsonl_as_well(client: Client) -> None:
    upload = begun(client, purpose="batch")
    parts = added(client, upload, b"abc", b"def")
    assert error_of(complete(client, upload, parts), 400)["param"] == "file"
    assert not File.objects.exists()


def test_a_part_is_refused_that_is_empty_or_more_than_announced(
    client: Client, storage: Path, settings: Any
) -> None:
    upload = begun(client)
    assert error_of(add(client, upload, b""), 400)["param"] == "data"
    assert error_of(add(client, upload, b"abcdefg"), 400)["param"] == "data"
    added(client, upload, b"abcdef", b"abcdef")
    assert error_of(add(client, upload, b"a"), 400)["param"] == "data"
    configure(settings, MAX_PART_BYTES=2)
    assert "MAX_PART_BYTES" in error_of(add(client, begun(client), b"abc"), 413)["message"]
    assert len(everything_in(storage)) == 2


def test_there_are_so_many_parts_and_no_more(client: Client) -> None:
    upload = begun(client, bytes=2 * MAX_PARTS)
    row = Upload.objects.get()
    UploadPart.objects.bulk_create(UploadPart(upload=row, bytes=1) for _ in range(MAX_PARTS - 1))
    assert add(client, upload, b"a").status_code == 200
    assert error_of(add(client, upload, b"b"), 400)["param"] == "data"


def test_a_form_of_a_part_has_nothing_else(client: Client) -> None:
    upload = begun(client)
    form = {"data": SimpleUploadedFile("upload", b"abc"), "number": "1"}
    reply = client.post(f"/v1/uploads/{upload}/parts", form)
    assert error_of(reply, 400)["param"] == "number"
    assert error_of(client.post(f"/v1/uploads/{upload}/parts", {"data": "abc"}), 400)


def test_cancelling_throws_the_parts_away_and_ends_it(client: Client, storage: Path) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    assert cancel(client, upload).json()["status"] == "cancelled"
    assert everything_in(storage) == []
    assert cancel(client, upload).json()["status"] == "cancelled"
    assert "cancelled" in error_of(complete(client, upload, parts), 409)["message"]
    assert error_of(add(client, upload, b"abc"), 409)
    assert everything_in(storage) == []


def test_a_completed_upload_takes_no_more_and_is_not_cancelled(
    client: Client, storage: Path
) -> None:
    upload = begun(client)
    complete(client, upload, added(client, upload, b"abc", b"def"))
    assert error_of(cancel(client, upload), 409)
    assert error_of(add(client, upload, b"abc"), 409)
    assert len(everything_in(storage)) == 1


def end_the_hour(upload: str) -> None:
    Upload.objects.filter(public_id=upload).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_after_an_hour_nothing_is_taken_and_all_is_swept(client: Client, storage: Path) -> None:
    late, fresh = begun(client), begun(client)
    parts = added(client, late, b"abc", b"def")
    added(client, fresh, b"abc")
    end_the_hour(late)
    assert "expired" in error_of(complete(client, late, parts), 409)["message"]
    assert error_of(add(client, late, b"abc"), 409)
    assert not File.objects.exists()
    sweep(lambda _: None)
    assert Upload.objects.get(public_id=late).status == "expired"
    assert Upload.objects.get(public_id=fresh).status == "pending"
    assert len(everything_in(storage)) == UploadPart.objects.count() == 1


def test_the_sweeper_finishes_what_a_killed_process_began(client: Client, storage: Path) -> None:
    """Completed, and killed before the parts were thrown away."""
    upload = begun(client)
    added(client, upload, b"abc")
    Upload.objects.update(status=UploadStatus.COMPLETED)
    sweep(lambda _: None)
    assert everything_in(storage) == []
    assert UploadPart.objects.count() == 1
    end_the_hour(upload)
    sweep(lambda _: None)
    assert UploadPart.objects.count() == 0


def test_deleting_the_file_leaves_the_upload(client: Client) -> None:
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    file = complete(client, upload, parts).json()["file"]["id"]
    assert client.delete(f"/v1/files/{file}").status_code == 200
    again = complete(client, upload, parts).json()
    assert (again["status"], again["file"]) == ("completed", None)


@pytest.mark.parametrize("name", ["parts", "complete", "cancel"])
def test_an_upload_of_another_user_is_as_good_as_none(client: Client, name: str) -> None:
    upload = begun(client)
    stranger = client_of()
    calls: dict[str, Any] = {
        "parts": lambda: add(stranger, upload, b"abc"),
        "complete": lambda: complete(stranger, upload, ["part_x"]),
        "cancel": lambda: cancel(stranger, upload),
    }
    assert error_of(calls[name](), 404)["code"] == "not_found"
    assert Upload.objects.get().status == "pending"
    assert not UploadPart.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_completed_by_many_at_once_it_is_one_file(storage: Path) -> None:
    user = user_named()
    client = client_of(user)
    upload = begun(client)
    parts = added(client, upload, b"abc", b"def")
    answers: list[Any] = []
    together = threading.Barrier(5)

    def finish() -> None:
        together.wait()
        answers.append(complete(client_of(user), upload, parts))
        connection.close()

    threads = [threading.Thread(target=finish) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.json()["file"]["id"] for answer in answers}) == 1
    assert File.objects.count() == 1
    assert [path.read_bytes() for path in everything_in(storage)] == [b"abcdef"]
