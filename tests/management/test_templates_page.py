"""docs/templates.md is followed as it stands: its table, its template, its command, its request."""

import json
import re
import shlex
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from batches.inputs.row_templates.filters import FILTERS
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import TemplateMessage
from tests.api.calling import client_of
from tests.command_line import ROOT, Commands

PAGE = (ROOT / "docs" / "templates.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(r"^\| `(\{.*?)` \| (.*) \|$", PAGE, re.MULTILINE)
ROW = {"review": "Nice & quiet", "stars": "4", "my note": ""}


def test_the_command_gives_the_columns(cli: Commands) -> None:
    cli.path("reviews.csv", BLOCKS["csv"])
    cli.path("rate.j2", BLOCKS["jinja"])
    words = shlex.split(BLOCKS["sh"])[3:]
    own = {"http://127.0.0.1:8900/v1": cli.to_simulator[1]}
    own |= {name: cli.path(name) for name in ("reviews.csv", "rate.j2", "out.csv")}
    ended = cli.run("process_batch", *(own.get(word, word) for word in words))
    assert ended.status == 0, ended.stderr
    lines = Path(cli.path("out.csv")).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == BLOCKS["text"].strip()
    assert lines[1].startswith('1,"Works, but the ""quick start"" is slow.",4,')


@pytest.mark.parametrize(("source", "text"), EXAMPLES)
def test_an_example_gives_what_the_page_says(source: str, text: str) -> None:
    message = TemplateMessage(role="user", content=source.replace("\\|", "|"))
    [made] = RowTemplate([message], max_chars=1000).messages_for(ROW)
    assert made["content"] == text


def test_the_page_names_every_filter() -> None:
    assert len(EXAMPLES) > 8
    [line] = [line for line in PAGE.splitlines() if line.startswith("- Filters:")]
    assert set(re.findall(r"`(\w+)", line)) == set(FILTERS)


@pytest.mark.usefixtures("provider")
def test_the_request_makes_a_batch(transactional_db: None) -> None:
    client = client_of(User.objects.create_user("reader"))
    upload = SimpleUploadedFile("reviews.csv", BLOCKS["csv"].encode())
    file = client.post("/v1/files", {"file": upload, "purpose": "batch"}).json()
    request = {**json.loads(BLOCKS["json"]), "input_file_id": file["id"]}
    batch = client.post("/v1/batches", json.dumps(request), content_type="application/json").json()
    assert (batch["status"], batch["template"]["name"]) == ("validating", "reviews")
