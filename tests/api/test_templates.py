"""A batch of a table and a template over the API."""

import csv
import gzip
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from batches.intake.reading import read_input
from batches.models import Batch, File, Prompt, Template
from batches.output.csv import csv_lines
from batches.output.parquet import parquet_pieces
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from tests.api.calling import client_of, error_of
from tests.api.test_batches import created, post
from tests.inputs.table_files import parquet
from tests.inputs.workbooks import written
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

TABLE = 'id;review\n7;good\n8;"so\nso"\n'
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Rate: {{ review }}"},
]


def table_of(user: User, content: str = TABLE, name: str = "reviews.csv") -> File:
    raw = content.encode()
    file = File(owner=user, purpose="batch", filename=name, bytes=len(raw))
    file.content.save(name, ContentFile(raw), save=False)
    file.save()
    return file


def asked(file: File, template: Any = "Rate: {{ review }}", **more: Any) -> dict[str, Any]:
    return {
        "input_file_id": file.public_id,
        "template": template,
        "body": {"model": MODEL},
        **more,
    }


def read_and_run(public_id: str) -> Batch:
    batch = Batch.objects.get(public_id=public_id)
    assert read_input(batch.pk, stop=StopSignal())
    while not run_slice(batch.pk, stop=StopSignal()).ended:
        pass
    batch.refresh_from_db()
    return batch


def test_a_table_is_uploaded_run_and_downloaded_with_its_answers(client: Client) -> None:
    upload = SimpleUploadedFile("reviews.csv", TABLE.encode(), "text/csv")
    file = client.post("/v1/files", {"file": upload, "purpose": "batch"}).json()
    made = created(
        client,
        {
            "input_file_id": file["id"],
            "template": MESSAGES,
            "template_name": "rating",
            "body": {"model": MODEL},
        },
    )
    assert made["template"] == {"name": "rating", "version": 1, "messages": MESSAGES}
    batch = read_and_run(made["id"])
    assert (batch.status, batch.total, batch.input_format) == ("completed", 2, "csv")
    bodies = Prompt.objects.order_by("index").values_list("body", flat=True)
    assert [json.loads(body)["messages"][1]["content"] for body in bodies] == [
        "Rate: good",
        "Rate: so\nso",
    ]
    text = b"".join(csv_lines(batch)).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header[:3] == ["id", "review", "answer"]
    assert [row[:2] for row in rows] == [["7", "good"], ["8", "so\nso"]]


def test_a_string_is_one_user_message(client: Client, user: User) -> None:
    made = created(client, asked(table_of(user), name="My reviews"))
    assert made["template"] == {
        "name": "My reviews",
        "version": 1,
        "messages": [{"role": "user", "content": "Rate: {{ review }}"}],
    }


def test_a_list_of_batches_has_no_messages(client: Client, user: User) -> None:
    made = created(client, asked(table_of(user)))
    [listed] = client.get("/v1/batches").json()["data"]
    assert listed["template"] == {"name": None, "version": 1, "messages": None}
    one = client.get(f"/v1/batches/{made['id']}").json()
    assert one["template"]["messages"] == made["template"]["messages"]


def test_equal_messages_of_a_user_are_one_version(client: Client, user: User) -> None:
    file = table_of(user)
    texts = ["A {{ review }}", "B {{ review }}", "A {{ review }}"]
    versions = [created(client, asked(file, text, template_name="t"))["template"]["version"]
                for text in texts]  # fmt: skip
    assert versions == [1, 2, 1]
    other = created(client, asked(file, "C {{ review }}", template_name="other"))
    assert other["template"]["version"] == 1
    assert Template.objects.count() == 3


def test_templates_of_users_are_apart_and_go_with_their_user(client: Client, user: User) -> None:
    created(client, asked(table_of(user), template_name="t"))
    second = User.objects.create_user("second")
    theirs = client_of(second)
    made = created(theirs, asked(table_of(second), "Other {{ review }}", template_name="t"))
    assert made["template"]["version"] == 1
    second.delete()
    assert list(Template.objects.values_list("owner_id", flat=True)) == [user.pk]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", "id,review\n1,x\n", "csv"),
        ("a.tsv", "id\treview\n1\tx\n", "tsv"),
        ("a.txt", "id;review\n1;x\n", "csv"),
        ("a.data", "id\treview\n1\tx\n", "tsv"),
        ("a.data", '{"id": 1, "review": "x"}\n', "jsonl"),
        ("a.jsonl", '{"id": 1, "review": "x"}\n', "jsonl"),
    ],
)
def test_the_format_of_a_table_is_found(
    client: Client, user: User, name: str, content: str, form: str
) -> None:
    made = created(client, asked(table_of(user, content, name)))
    batch = read_and_run(made["id"])
    assert batch.input_format == form
    [row] = Prompt.objects.values_list("row", flat=True)
    assert row is not None
    assert json.loads(row)["review"] == "x"


def test_a_table_without_a_template_fails_its_batch_at_once(client: Client, user: User) -> None:
    made = created(client, {"input_file_id": table_of(user).public_id, "body": {"model": MODEL}})
    assert made["status"] == "failed"
    [error] = made["errors"]["data"]
    assert error["message"] == "'reviews.csv' is a table: give a 'template' for its rows."


@pytest.mark.parametrize("name", ["reviews.xlsx", "reviews.parquet", "reviews.parquet.gz"])
def test_a_workbook_and_a_parquet_file_are_uploaded_and_run(client: Client, name: str) -> None:
    given = {"review": ["good", "so\nso"], "stars": [5, None]}
    rows = [("review", "stars"), ("good", 5), ("so\nso", None)]
    raw = written(rows) if "xlsx" in name else parquet(given)
    raw = gzip.compress(raw) if name.endswith("gz") else raw
    upload = SimpleUploadedFile(name, raw)
    file = client.post("/v1/files", {"file": upload, "purpose": "batch"}).json()
    request = {"template": "{{ review }} {{ stars | default(0) }}", "body": {"model": MODEL}}
    batch = read_and_run(created(client, {"input_file_id": file["id"], **request})["id"])
    assert (batch.status, batch.total) == ("completed", 2)
    assert batch.input_format in name
    bodies = Prompt.objects.order_by("index").values_list("body", flat=True)
    assert [json.loads(body)["messages"][0]["content"] for body in bodies] == [
        "good 5",
        "so\nso 0",
    ]
    result = io.BytesIO()
    result.writelines(parquet_pieces(batch))
    table = pq.read_table(result).select(["review", "stars"])
    empty = {"review": given["review"], "stars": ["5", ""]}
    assert table.to_pydict() == (empty if "xlsx" in name else given)


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet"])
def test_a_damaged_table_fails_its_batch_with_the_reason(client: Client, name: str) -> None:
    raw = written([("a",), ("x",)]) if "xlsx" in name else parquet({"a": ["x"]})
    upload = SimpleUploadedFile(name, raw[:-20])
    file = client.post("/v1/files", {"file": upload, "purpose": "batch"}).json()
    request = {"input_file_id": file["id"], "template": "{{ a }}", "body": {"model": MODEL}}
    made = created(client, request)
    batch = Batch.objects.get(public_id=made["id"])
    assert not read_input(batch.pk, stop=StopSignal())
    [error] = client.get(f"/v1/batches/{made['id']}").json()["errors"]["data"]
    assert "is damaged or truncated" in error["message"]
    assert (error["code"], error["line"]) == ("invalid_file", None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"a,b\n1,2\n", "The file is not an Excel workbook (.xlsx): if it is text"),
        ("a.parquet", b"PK\x03\x04 xl/", "is an Excel workbook (.xlsx), not a Parquet file: read"),
        ("a.csv", b"PAR1 ", "give it the ending .parquet."),
    ],
)
def test_a_table_of_another_format_than_its_name_is_refused(
    client: Client, name: str, content: bytes, words: str
) -> None:
    upload = SimpleUploadedFile(name, content)
    error = error_of(client.post("/v1/files", {"file": upload, "purpose": "batch"}), 400)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\n \n", "no prompts"), (b"PK\x03\x04" + b"x" * 40 + b"xl/", "Excel")],
)
def test_a_table_is_a_text(client: Client, content: bytes, words: str) -> None:
    upload = SimpleUploadedFile("reviews.csv", content)
    error = error_of(client.post("/v1/files", {"file": upload, "purpose": "batch"}), 400)
    assert words in error["message"]


def test_a_name_that_is_no_column_fails_the_batch_with_one_error(
    client: Client, user: User
) -> None:
    made = created(client, asked(table_of(user), "{{ revew }}"))
    batch = Batch.objects.get(public_id=made["id"])
    assert not read_input(batch.pk, stop=StopSignal())
    shown = client.get(f"/v1/batches/{made['id']}").json()
    assert shown["status"] == "failed"
    [error] = shown["errors"]["data"]
    assert (error["code"], error["line"]) == ("missing_column", 1)
    assert "Did you mean 'review'? The header names 'id', 'review'." in error["message"]


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"template": "{{ review | uper }}"}, "template", "line 1: There is no filter 'uper'"),
        ({"template": [MESSAGES[0], {"role": "user", "content": "\n{% if %}"}]},
         "template[1].content", "line 2: The template is not valid"),
        ({"template": "{{ review.strip() }}"}, "template", "{{ … | trim }}"),
        ({"template": ""}, "template[0].content", "at least 1 character"),
        ({"template": []}, "template", "at least 1 item"),
        ({"template": [MESSAGES[0]]}, "template", "no user message"),
        ({"template": 7}, "template", "expected an array"),
        ({"template": [{"role": "robot", "content": "x"}]}, "template[0].role", "'robot'"),
        ({"template": [{"role": "user", "content": "x", "name": "n"}]},
         "template[0].name", "Unknown parameter"),
        ({"template": None}, "template_name", "give both"),
        ({"template": "a\0b"}, "template", "NUL"),
        ({"input_file_id": None, "prompts": ["a"]}, "template", "uploaded file"),
        ({"endpoint": "/v1/embeddings", "template": MESSAGES}, "template", "one user message"),
        ({"body": {"model": MODEL, "messages": [{"role": "system", "content": "x"}]},
          "template": MESSAGES}, "template", "given twice"),
        ({"body": {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}},
         "body.messages", "never sent"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_work_is_refused_and_leaves_nothing(
    client: Client, user: User, changes: dict[str, Any], param: str, words: str
) -> None:
    body = {**asked(table_of(user)), "template_name": "t", **changes}
    given = {name: value for name, value in body.items() if value is not None}
    error = error_of(post(client, given), 400)
    assert error["param"] == param
    assert words in error["message"]
    assert not Batch.objects.exists()
    assert not Template.objects.exists()


def test_a_repeated_request_has_its_template_once(client: Client, user: User) -> None:
    body = asked(table_of(user), idempotency_key="k")
    assert created(client, body)["id"] == created(client, body)["id"]
    assert Template.objects.count() == 1
