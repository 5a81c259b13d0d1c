"""A template over a table in the form of a new batch: its fields, its preview, its batch."""

import csv
import gzip
import io
import json
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.admin.batches.creation.first_rows import MOST_BYTES, MOST_ROWS, PROMPT_CHARS, TOO_LARGE
from batches.intake.reading import read_input
from batches.models import Batch, File, Provider, Template
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from tests.admin.conftest import Login
from tests.admin.test_library import stored, user_of
from tests.admin.test_names import form_like
from tests.admin.test_new_batch import PLAIN, errors, post, prompts_of
from tests.inputs.table_files import parquet
from tests.inputs.test_hostile_templates import HOSTILE as BOMBS
from tests.inputs.workbooks import written
from tests.makers import MODEL, batch_of

TEXTS = ["Gut, aber „laut“;\nnie wieder", 'sagt "5 €"', "schön", "x", "y", "z", "last"]
RATE = {"system_part": "You read reviews.", "user_part": "Rate: {{ review }} ({{ stars }})"}


def messy(texts: list[str]) -> bytes:
    """A table as Excel saves it in Germany."""
    target = io.StringIO()
    writer = csv.writer(target, delimiter=";")
    writer.writerow(["Nr", "review", "stars", "my note"])
    for number, text in enumerate(texts):
        writer.writerow([number, text, number % 5 + 1, ""])
    return target.getvalue().encode("cp1252")


def table(texts: list[str] | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile("reviews.csv", messy(TEXTS if texts is None else texts))


def rows(client: Client, **fields: Any) -> HttpResponse:
    data = {"endpoint": PLAIN["endpoint"], **fields}
    return client.post(reverse("admin:batches_batch_rows"), data)  # type: ignore[return-value]  # it is one


def found(answer: HttpResponse) -> Any:
    return answer.context["rows"]  # type: ignore[attr-defined]  # of the test client


def texts_in(answer: HttpResponse) -> list[str]:
    """The texts of the first prompts, a message after another."""
    prompts = found(answer).prompts
    return [message["content"] for prompt in prompts for message in prompt.messages]


# -- the batch


def test_a_table_and_a_template_become_a_batch_and_a_table(
    root: Client, provider: Provider
) -> None:
    fields = {**RATE, "template_label": "reviews"}
    assert post(root, provider, "start", file=table(), **fields).status_code == 302
    batch = Batch.objects.select_related("template").get()
    prompts = prompts_of(batch)
    assert prompts[0] == (
        "row-1",
        {
            "messages": [
                {"role": "system", "content": "You read reviews."},
                {"role": "user", "content": f"Rate: {TEXTS[0]} (1)"},
            ]
        },
    )
    assert str(batch.template) == "reviews v1"
    assert batch.template is not None
    assert batch.template.owner == user_of(root)
    assert run_slice(batch.pk).ended
    content = downloaded(root, batch, "csv")
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    given = list(csv.reader(io.StringIO(messy(TEXTS).decode("cp1252"), newline=""), delimiter=";"))
    assert [line[:4] for line in lines] == given
    assert lines[0][4:] == [
        *("answer", "status", "kind", "input_tokens", "output_tokens", "cost", "latency_s")
    ]
    assert {line[5] for line in lines[1:]} == {"succeeded"}
    columns = pq.read_table(io.BytesIO(downloaded(root, batch, "parquet"))).to_pylist()
    assert [list(row.values())[:5] for row in columns] == [line[:5] for line in lines[1:]]


def downloaded(root: Client, batch: Batch, form: str) -> bytes:
    answer = root.get(reverse(f"admin:batches_batch_{form}", args=[batch.pk]))
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # it is streamed


def test_equal_messages_are_one_version(root: Client, provider: Provider) -> None:
    fields = {**RATE, "template_label": "reviews"}
    windows = {name: text.replace("\n", "\r\n") for name, text in fields.items()}
    for given in (fields, windows, {**fields, "user_part": "Judge: {{ review }}"}):
        assert post(root, provider, "start", file=table(), **given).status_code == 302
    found = Batch.objects.order_by("pk").values_list("template__name", "template__version")
    assert list(found) == [("reviews", 1), ("reviews", 1), ("reviews", 2)]


def test_without_a_name_the_template_is_called_like_its_batch(
    root: Client, provider: Provider
) -> None:
    post(root, provider, "start", file=table(), **RATE)
    post(root, provider, "start", file=table(), name="mine", **RATE)
    assert list(Template.objects.order_by("pk").values_list("name", flat=True)) == [
        "reviews.csv",
        "mine",
    ]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.jsonl", b'{"review": "x", "stars": 1}\n', ""),
        ("a.tsv", b"review\tstars\nx\t1\n", ""),
        ("a", b"review,stars\nx,1\n", "csv"),
    ],
)
def test_other_tables_take_templates_too(
    root: Client, provider: Provider, name: str, content: bytes, form: str
) -> None:
    upload = SimpleUploadedFile(name, content)
    answer = post(root, provider, "start", file=upload, format=form, **RATE)
    assert answer.status_code == 302, errors(answer)
    [(_, body)] = prompts_of(Batch.objects.get())
    assert body["messages"][1]["content"] == "Rate: x (1)"


def test_a_template_with_further_messages_comes_back_as_it_was(
    root: Client, provider: Provider
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "good\nbad?"},
        {"role": "assistant", "content": "bad"},
        {"role": "user", "content": "{{ review }}\r\n"},
    ]
    template = Template.objects.version_of(user_of(root).pk, "shots", messages).template
    page = root.get(reverse("admin:batches_batch_add"), {"template": template.pk})
    form = page.context["form"]
    assert form["user_part"].value() == (
        "good\nbad?\n{# assistant #}\nbad\n{# user #}\n{{ review }}\n"
    )
    sent = {name: form[name].value() for name in ("template", *RATE, "template_label")}
    assert post(root, provider, "start", file=table(), **sent).status_code == 302
    assert Batch.objects.get().template == template
    changed = {**sent, "system_part": "Be very brief."}
    post(root, provider, "start", file=table(), **changed)
    latest = Template.objects.latest("pk")
    assert (latest.version, [one["role"] for one in latest.messages]) == (
        2,
        ["system", "user", "assistant", "user"],
    )


# -- errors at their fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user_part": "{{ reviw }}"}, ("user_part", "There is no column 'reviw'. Did you mean")),
        ({"user_part": "{{ reviw }}"}, ("user_part", "'Nr', 'review', 'stars'")),
        ({"system_part": "{{ a }}", "user_part": "{{ Nr }}"}, ("system_part", "no column 'a'")),
        ({"user_part": "a\n{% if %}"}, ("user_part", "Line 2: ")),
        ({"system_part": "{{ a | b }}", "user_part": "{{ Nr }}"}, ("system_part", "Line 1: ")),
        ({"user_part": "the same"}, ("user_part", "names no column")),
        ({"system_part": "alone"}, ("user_part", "The template is empty.")),
        ({"user_part": "{{ 1 / (Nr | int) }}"}, ("user_part", "row 1: The template cannot be")),
        ({"user_part": "{{ Nr }}\n{# system #}\nx"}, ("user_part", "must be the first one")),
        ({"user_part": "{{ Nr }}" + "x" * 100_000}, ("user_part", "at most 100000 characters")),
        (
            {"system": "one", "system_part": "two", "user_part": "{{ Nr }}"},
            ("system_part", "given twice"),
        ),
        ({"user_part": "{{ Nr }}", "template": "999"}, ("template", "This template is gone")),
        ({"user_part": "{{ Nr }}", "model": ""}, ("model", "Name a model: lines of text")),
        (
            {"system_part": "a", "user_part": "{{ Nr }}", "endpoint": "/v1/embeddings"},
            ("user_part", "is one text"),
        ),
    ],
)
@pytest.mark.parametrize("button", ["preview", "start"])
def test_what_is_wrong_is_said_at_its_field(
    root: Client,
    provider: Provider,
    button: str,
    fields: dict[str, str],
    expected: tuple[str, str],
) -> None:
    field, words = expected
    answer = post(root, provider, button, file=table(), **fields)
    assert list(errors(answer)) == [field]
    assert words in "\n".join(errors(answer)[field])
    assert not Batch.objects.exists()
    # What was typed and the file are kept, and the section is open.
    kept = File.objects.get()
    page = answer.content.decode()
    assert f'name="stored" value="{kept.public_id}"' in page
    if field != "model":
        assert '<details class="tp-card" open><summary><h2>Template' in page


@pytest.mark.parametrize(
    "given",
    [
        {"prompts": "one\ntwo"},
        {"file": SimpleUploadedFile("why.txt", b"a,b\n1,2\n")},
    ],
)
def test_a_template_needs_a_table(root: Client, provider: Provider, given: Any) -> None:
    answer = post(root, provider, "start", **given, user_part="{{ a }}")
    assert list(errors(answer)) == ["user_part"]
    assert "but the input is text" in errors(answer)["user_part"][0]
    assert not Batch.objects.exists()


# -- kept templates


def test_a_chosen_template_fills_in_its_fields(root: Client, provider: Provider) -> None:
    template = stored(user_of(root), "reviews", "Rate: {{ review }}")
    answer = post(root, provider, "preview", file=table(), template=template.pk)
    form = answer.context["form"]  # type: ignore[attr-defined]  # of the test client
    assert (form["user_part"].value(), form["template_label"].value()) == (
        "Rate: {{ review }}",
        "reviews",
    )
    filled = rows(root, file=table(), template=template.pk)
    assert filled.context["filled"]["user_part"] == "Rate: {{ review }}"  # type: ignore[attr-defined]  # the same
    assert texts_in(filled)[2] == "Rate: schön"
    kept = File.objects.get().public_id
    post(root, provider, "start", stored=kept, template=template.pk)
    assert Batch.objects.get().template == template


def test_another_owner_s_template_is_not_to_be_used(login: Login, provider: Provider) -> None:
    theirs = stored(User.objects.create_user("other"), "secret", "Secret: {{ review }}")
    shared = stored(None, "shared", "{{ review }}")
    analyst = login("add_batch", "view_batch", "view_template")
    add = reverse("admin:batches_batch_add")
    page = analyst.get(add).content.decode()
    assert "secret v1" not in page
    assert "shared v1" in page
    assert analyst.get(add, {"template": theirs.pk}).status_code == 404
    answer = post(analyst, provider, "preview", file=table(), template=theirs.pk)
    assert list(errors(answer)) == ["template"]
    assert "Secret" not in rows(analyst, file=table(), template=theirs.pk).content.decode()
    # Without the permission to view templates, there are none to choose.
    blind = login("add_batch")
    assert "shared v1" not in blind.get(add).content.decode()
    assert blind.get(add, {"template": shared.pk}).status_code == 404


def test_the_form_costs_the_same_for_many_templates(root: Client, provider: Provider) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            root.get(reverse("admin:batches_batch_add"))
        counts.append(len(captured))
        for number in range(20):
            stored(user_of(root), f"name {number}", "{{ a }}", "{{ b }}")
    assert counts[0] == counts[1]


# -- the first prompts


def test_the_columns_of_a_table_are_shown_before_there_is_a_template(root: Client) -> None:
    answer = rows(root, file=table())
    shown = [(one.name, one.written, one.cell) for one in found(answer).columns]
    assert shown == [
        ("Nr", "{{ Nr }}", "0"),
        ("review", "{{ review }}", TEXTS[0]),
        ("stars", "{{ stars }}", "1"),
        ("my note", '{{ row["my note"] }}', ""),
    ]
    assert found(answer).prompts == []


def test_each_way_to_write_a_column_reads_it(root: Client) -> None:
    names = ["a", "row", "if", "Größe", 'with "quotes"', "back\\slash", "}} {{", "1st", "none", ""]
    upload = SimpleUploadedFile(
        "a.jsonl", json.dumps({name: f"<{name}>" for name in names}).encode()
    )
    written = "\n".join(one.written for one in found(rows(root, file=upload)).columns)
    upload.seek(0)
    [prompt] = texts_in(rows(root, file=upload, user_part=written))
    assert prompt.split("\n") == [f"<{name}>" for name in names]


def test_the_first_prompts_are_shown_with_their_rows(root: Client) -> None:
    answer = rows(root, file=table(), **RATE)
    assert texts_in(answer)[:2] == ["You read reviews.", f"Rate: {TEXTS[0]} (1)"]
    assert [prompt.place for prompt in found(answer).prompts] == [
        f"row {number}" for number in range(1, MOST_ROWS + 1)
    ]
    assert found(answer).errors == {}
    assert not File.objects.exists()
    assert not Template.objects.exists()


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet"])
def test_workbooks_and_parquet_files_are_shown_as_a_whole(root: Client, name: str) -> None:
    table = [("Nr", "my note"), *((number, f"note {number}") for number in range(8))]
    given = {str(key): [row[n] for row in table[1:]] for n, key in enumerate(table[0])}
    raw = written(table) if name == "a.xlsx" else parquet(given)
    upload = SimpleUploadedFile(name, raw)
    answer = rows(root, file=upload, user_part='{{ Nr }}: {{ row["my note"] }}')
    assert [one.name for one in found(answer).columns] == ["Nr", "my note"]
    assert texts_in(answer) == [f"{number}: note {number}" for number in range(MOST_ROWS)]
    beginning = SimpleUploadedFile(name, raw[:100])
    assert found(rows(root, file=beginning, cut="yes")).errors == {"file": [TOO_LARGE]}


def test_an_error_names_row_and_column_at_the_field(root: Client) -> None:
    lines = b'{"a": "x"}\n{"b": "y"}\n{"a": "z"}\n'
    answer = rows(root, file=SimpleUploadedFile("a.jsonl", lines), user_part="{{ a }}")
    assert texts_in(answer) == ["x", "z"]
    [message] = found(answer).errors["user_part"]
    assert message == "line 2: There is no column 'a'. The row has 'b'."
    unknown = found(rows(root, file=table(), user_part="{{ reviw }}"))
    [message] = unknown.errors["user_part"]
    assert message.startswith("row 1: There is no column 'reviw'. Did you mean 'review'?")
    assert "'my note'" in message
    assert [one.name for one in unknown.columns] == ["Nr", "review", "stars", "my note"]


def test_of_a_large_file_the_beginning_is_enough(root: Client) -> None:
    """A browser sends the beginning of a file, whose last row may be cut."""
    whole = messy([f'review {number}, "quoted";\nsecond line' for number in range(20)])
    for length in range(40, len(whole), 37):
        beginning = SimpleUploadedFile("a.csv", whole[:length])
        answer = found(rows(root, file=beginning, user_part="{{ Nr }}", cut="yes"))
        assert answer.errors == {}, whole[:length]
        shown = [prompt.messages[0]["content"] for prompt in answer.prompts]
        assert shown == [str(number) for number in range(len(shown))]
    assert len(shown) == MOST_ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_beginning_may_end_within_a_character(root: Client, encoding: str) -> None:
    first, second = "schön " * 5000, "für " * 5000
    whole = f"a\n{first}\n{second}\n".encode(encoding)
    for length in (len(whole) - 40, len(whole) - 41):
        upload = SimpleUploadedFile("a.csv", whole[:length])
        answer = rows(root, file=upload, user_part="{{ a }}", cut="yes")
        assert texts_in(answer) == [first[:PROMPT_CHARS]]
        assert found(answer).errors == {}
    packed = gzip.compress(messy([f"{n} {n * n}" for n in range(30_000)]))
    upload = SimpleUploadedFile("a.csv.gz", packed[: len(packed) // 2])
    assert len(texts_in(rows(root, file=upload, user_part="{{ Nr }}", cut="yes"))) == MOST_ROWS


def test_a_kept_file_is_read_from_its_beginning_only(root: Client, provider: Provider) -> None:
    post(root, provider, "preview", file=table(["x" * 1000] * 1000), **RATE)
    answer = rows(root, stored=File.objects.get().public_id, **RATE)
    assert len(found(answer).prompts) == MOST_ROWS


def test_what_is_no_table_shows_its_error(root: Client) -> None:
    answer = rows(root, file=SimpleUploadedFile("a.csv", b"%PDF-1.4"), user_part="{{ a }}")
    assert "The file is a PDF document" in answer.content.decode()
    assert rows(root, prompts="just a text").content.decode().strip() == ""
    assert rows(root).status_code == 200


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_would_grow_or_loop_is_an_error(root: Client, name: str) -> None:
    began = time.thread_time()
    upload = SimpleUploadedFile("a.csv", b"a,n\n" + b"text,7\n" * MOST_ROWS)
    answer = rows(root, file=upload, user_part=BOMBS[name])
    assert found(answer).errors or found(answer).prompts
    # CPU time, so that a slow machine does not matter; without bounds it would take hours.
    assert time.thread_time() - began < 30
    assert len(answer.content) < 200_000


@pytest.mark.parametrize(
    "content",
    [
        b"\n" * 10_000_000,
        b"a\n" + b"\n" * 10_000_000,
        b"a\n" + b"x" * 10_000_000,
        ",".join(f"c{n}" for n in range(20_000)).encode() + b"\n1\n",
        b"a\n" + b'"' + b"x\n" * 1_000_000,
    ],
)
def test_only_the_beginning_of_what_is_packed_is_read(root: Client, content: bytes) -> None:
    upload = SimpleUploadedFile("a.csv.gz", gzip.compress(content))
    began = time.thread_time()
    answer = rows(root, file=upload, user_part="{{ row | json }}")
    assert time.thread_time() - began < 30
    assert len(answer.content) < 4 * MOST_BYTES


def test_hostile_cells_and_names_are_text(root: Client) -> None:
    script = "<script>hacked=1</script>"
    content = json.dumps({script: f'"{script}', "b": "x"}).encode()
    written = '{{ row["<script>hacked=1</script>"] }}'
    for template in (written, "{{ b }}</pre><script>hacked=1</script>", "{{ <script> }}"):
        upload = SimpleUploadedFile("a.jsonl", content)
        shown = rows(root, file=upload, user_part=template).content.decode()
        assert script not in shown
        assert "&lt;script&gt;" in shown


def test_a_preview_is_for_who_may_make_batches(login: Login, client: Client) -> None:
    assert rows(login("view_batch", "view_template"), file=table(), **RATE).status_code == 403
    assert rows(client, file=table(), **RATE).status_code == 302
    address = reverse("admin:batches_batch_rows")
    maker = login("add_batch")
    assert maker.get(address).status_code == 405
    strict = Client(enforce_csrf_checks=True, SERVER_NAME="localhost")
    strict.force_login(user_of(maker))
    assert strict.post(address, RATE).status_code == 403


# -- again with changes


def test_running_again_keeps_the_template_and_the_table(root: Client, provider: Provider) -> None:
    post(root, provider, "start", file=table(), **RATE, template_label="reviews")
    batch = Batch.objects.get()
    prompts_of(batch)
    form = form_like(root, batch)
    assert (form.kept.filename, form.initial["format"]) == ("reviews.csv", "csv")
    fields = {name: form[name].value() for name in ("template", *RATE, "template_label")}
    assert {name: fields[name] for name in RATE} == RATE
    post(root, provider, "start", stored=form.kept.public_id, **fields)
    made = Batch.objects.latest("pk")
    assert made.template == batch.template
    assert prompts_of(made) == prompts_of_stored(batch)


def prompts_of_stored(batch: Batch) -> list[tuple[str, Any]]:
    stored = batch.prompts.order_by("index").values_list("custom_id", "body")
    return [(custom_id, json.loads(body)) for custom_id, body in stored]


def test_without_its_file_the_rows_of_the_table_come_back(root: Client, provider: Provider) -> None:
    post(root, provider, "start", file=table(), **RATE, template_label="reviews")
    batch = Batch.objects.get()
    assert read_input(batch.pk, stop=StopSignal())
    Batch.objects.filter(pk=batch.pk).update(input_file=None)
    form = form_like(root, batch)
    assert form.initial["format"] == "jsonl"
    with form.kept.content.open("rb") as content:
        cells = [json.loads(line) for line in content.read().splitlines()]
    assert cells[0] == {"Nr": "0", "review": TEXTS[0], "stars": "1", "my note": ""}
    fields = {name: form[name].value() for name in ("template", "format", *RATE)}
    post(root, provider, "start", stored=form.kept.public_id, **fields)
    bodies = [body for _, body in prompts_of(Batch.objects.latest("pk"))]
    assert bodies == [body for _, body in prompts_of_stored(batch)]


def test_running_again_without_a_template_has_none(root: Client, provider: Provider) -> None:
    form = form_like(root, batch_of(provider, ["a"]))
    assert form["template"].value() is None
    assert form["model"].value() == MODEL
