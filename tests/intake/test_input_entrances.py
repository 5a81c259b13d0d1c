"""One file, whichever way it comes in: read alike, or refused in the same words."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rich.console import Console

from batches.intake.reading import read_input
from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.new_batch import create
from batches.management.bulk.usage import UsageError
from batches.management.commands.process_batch import Command
from batches.models import Batch, Provider
from batches.stop_signal import StopSignal
from tests.admin.test_new_batch import errors as form_errors
from tests.admin.test_new_batch import post
from tests.api.calling import client_of, user_named
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

MESSAGES = [{"role": "user", "content": "café"}]
BODY = {"model": MODEL, "messages": MESSAGES}
CHAT = "/v1/chat/completions"


def line(custom_id: str = "a", **changes: Any) -> str:
    fields = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": BODY, **changes}
    return json.dumps(fields, ensure_ascii=False)


class Refused(Exception):
    """What an entrance says of a file that it does not take."""


Entrance = Callable[[Provider, bytes, Path], Batch]


def command(provider: Provider, raw: bytes, folder: Path) -> Batch:
    path = folder / "prompts.jsonl"
    path.write_bytes(raw)
    return run_command(provider, str(path))


def standard_input(provider: Provider, raw: bytes, folder: Path) -> Batch:
    path = folder / "piped"
    path.write_bytes(raw)
    before = sys.stdin
    with path.open("r") as stream:
        sys.stdin = stream
        try:
            return run_command(provider, "-", "--format", "jsonl")
        finally:
            sys.stdin = before


def run_command(provider: Provider, *arguments: str) -> Batch:
    parser = Command().create_parser("manage.py", "process_batch")
    given = [*arguments, "--provider", provider.name, "--output", "-"]
    options = vars(parser.parse_args(given))
    try:
        return create(options, ProgressDisplay(Console(stderr=True), quiet=True))
    except UsageError as error:
        raise Refused(str(error)) from error


def admin(provider: Provider, raw: bytes, folder: Path) -> Batch:
    client = Client(SERVER_NAME="localhost")
    client.force_login(user_named(is_staff=True, is_superuser=True))
    upload = SimpleUploadedFile("prompts.jsonl", raw)
    answer = post(client, provider, "start", file=upload, model="")
    if answer.status_code != 302:
        raise Refused("\n".join(chain.from_iterable(form_errors(answer).values())))
    return was_read(Batch.objects.get())


def api(provider: Provider, raw: bytes, folder: Path) -> Batch:
    client = client_of()
    file = io.BytesIO(raw)
    file.name = "prompts.jsonl"
    sent = client.post("/v1/files", {"purpose": "batch", "file": file}).json()
    if "error" in sent:
        raise Refused(sent["error"]["message"])
    body = json.dumps({"input_file_id": sent["id"], "endpoint": CHAT})
    made = client.post("/v1/batches", body, content_type="application/json").json()
    return was_read(Batch.objects.get(public_id=made["id"]))


def was_read(batch: Batch) -> Batch:
    read_input(batch.pk, stop=StopSignal())
    batch.refresh_from_db()
    if batch.errors:
        raise Refused("\n".join(error["message"] for error in batch.errors))
    return batch


ENTRANCES: list[Entrance] = [command, standard_input, admin, api]

TWO_LINES = f"{line('a')}\n{line('b')}\n"
GOOD: dict[str, bytes] = {
    "utf-8": TWO_LINES.encode(),
    "a mark": TWO_LINES.encode("utf-8-sig"),
    "utf-16": TWO_LINES.encode("utf-16"),
    "utf-16-le without a mark": TWO_LINES.encode("utf-16-le"),
    "utf-16-be without a mark": TWO_LINES.encode("utf-16-be"),
    "cp1252": TWO_LINES.encode("cp1252"),
    "gzip": gzip.compress(TWO_LINES.encode()),
    "gzip of utf-16": gzip.compress(TWO_LINES.encode("utf-16")),
    "Azure": f"{line('a', url='/chat/completions')}\n{line('b')}\n".encode(),
    "bodies": f"{json.dumps(BODY, ensure_ascii=False)}\n{line('b')}\n".encode(),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("name", GOOD)
def test_a_file_is_read_wherever_it_comes_in(
    provider: Provider, tmp_path: Path, entrance: Entrance, name: str
) -> None:
    batch = entrance(provider, GOOD[name], tmp_path)
    rows = list(batch.prompts.order_by("index").values_list("custom_id", "body"))
    ids = ["line-1" if name == "bodies" else "a", "b"]
    assert [custom_id for custom_id, _ in rows] == ids
    assert [json.loads(body)["messages"] for _, body in rows] == [MESSAGES, MESSAGES]


NO_BODY = line("b", body=None)
BAD: dict[str, tuple[bytes, str]] = {
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "The file is a PNG image, not lines of text"),
    "xlsx": (b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml", "give it the ending .xlsx"),
    "parquet in gzip": (gzip.compress(b"PAR1" + b"\0" * 50), "The file is a Parquet file"),
    "half a gzip": (GOOD["gzip"][:-9], "is truncated: send the whole file"),
    "twice gzip": (gzip.compress(GOOD["gzip"]), "compressed with gzip twice: unpack it once"),
    "cyrillic": (
        json.dumps({"prompt": "привет мир"}, ensure_ascii=False).encode("cp1251"),
        "Save the file as UTF-8",
    ),
    "half a pair": (
        line(body={**BODY, "x": "HALF"}).replace("HALF", r"\ud83d").encode(),
        "'body.x' contains half of a surrogate pair (\\ud83d)",
    ),
    "nul": (
        line(custom_id="ZERO").replace("ZERO", r"a\u0000").encode(),
        "'custom_id' contains the character NUL (U+0000)",
    ),
    "url": (
        f"{line()}\n{line('b', url='/embeddings')}\n".encode(),
        "Invalid value for 'url': '/embeddings'. The url of each line must be",
    ),
    "twin": (f"{line()}\n{line()}\n".encode(), "The 'custom_id' 'a' was used before"),
    "stream": (
        line(body={**BODY, "stream": True}).encode(),
        "Invalid value for 'body.stream': true. A batch does not support 'stream'",
    ),
    "no model": (line(body={"messages": MESSAGES}).encode(), "parameter: 'body.model'."),
    "no body": (NO_BODY.encode(), "Invalid type for 'body': expected an object, but got null"),
    "schema": (
        line(
            body={
                **BODY,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "objekt"}},
                },
            }
        ).encode(),
        "'body.response_format.json_schema.schema.type' is not a JSON Schema",
    ),
    "no json": (b"prompt;id\nhi;1\n", "This line is not parseable as valid JSON"),
    "array": (b'[{"prompt": "a"}]', "The file is a single JSON document. JSONL needs one object"),
    "nothing": (b"\n\n", "The input has no prompts"),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("name", BAD)
def test_a_file_is_refused_in_the_same_words_wherever_it_comes_in(
    provider: Provider, tmp_path: Path, entrance: Entrance, name: str
) -> None:
    raw, says = BAD[name]
    with pytest.raises(Refused) as caught:
        entrance(provider, raw, tmp_path)
    assert says.lower() in str(caught.value).lower()
    assert not Batch.objects.exclude(status="failed").exists()


def test_an_assumed_encoding_is_a_warning_of_the_batch(provider: Provider, tmp_path: Path) -> None:
    for entrance in (command, api):
        batch = entrance(provider, GOOD["cp1252"], tmp_path)
        [warning] = batch.warnings
        assert (warning["code"], warning["line"]) == ("assumed_encoding", 1)
        assert "Windows-1252" in warning["message"]
