"""A column with an image becomes a part of the request; nothing else is read or sent."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.row_templates.images import ImageFolder, with_images_shown
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import TemplateMessage, TemplateRefused

PNG = b"\x89PNG\r\n\x1a\n and more"
FILES = {
    "a.png": PNG,
    "b.jpg": b"\xff\xd8\xff\xe0 jpeg",
    "c.gif": b"GIF89a gif",
    "d.webp": b"RIFF\x00\x01\x02\x03WEBP webp",
    "empty.png": b"",
    "page.png": b"<html>",
    "secret.txt": b"root:x:0:0",
    "large.png": PNG + b"x" * 5000,
}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
DATA = "data:image/png;base64,AAAA"


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    inside = tmp_path / "table"
    (inside / "deep").mkdir(parents=True)
    for name, content in FILES.items():
        (inside / name).write_bytes(content)
    (inside / "deep" / "é 1.png").write_bytes(PNG)
    (tmp_path / "outside.png").write_bytes(PNG)
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    os.mkfifo(inside / "pipe.png")
    return ImageFolder(inside, most_bytes=1000)


def read(
    address: str,
    folder: ImageFolder | None = None,
    *,
    template: str = "What is it?{{ photo | image }}",
    endpoint: str = CHAT,
) -> NewPrompt | LineError:
    options = InputOptions(
        endpoint=endpoint,
        defaults={"model": "m"},
        max_line_bytes=100_000,
        template=RowTemplate([TemplateMessage(role="user", content=template)], max_chars=100_000),
        image_folder=folder,
    )
    line = json.dumps({"photo": address, "text": "a text"})
    [found] = read_prompts(io.BytesIO(f"{line}\n".encode()), options)
    return found


def parts(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    prompt = read(*arguments, **options)
    assert isinstance(prompt, NewPrompt), prompt
    body = json.loads(prompt.body)
    [message] = body.get("messages") or body["input"]
    found: list[dict[str, Any]] = message["content"]
    return found


@pytest.mark.parametrize("address", ["https://example.org/a.png?b=1", "HTTP://x/y", DATA])
def test_an_address_is_sent_as_it_is(address: str) -> None:
    assert parts(f" {address} ") == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": address}},
    ]


def test_responses_have_parts_of_their_own() -> None:
    assert parts(DATA, endpoint=RESPONSES) == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": DATA},
    ]


def test_text_and_images_keep_their_order() -> None:
    template = "{{ photo | image }}\nBefore {{ text }}{{ photo | image }} after {{ photo }}"
    found = parts(DATA, template=template)
    assert [part["type"] for part in found] == ["image_url", "text", "image_url", "text"]
    assert found[1]["text"] == "\nBefore a text"
    assert found[3]["text"] == f" after {DATA}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "png"),
        ("./b.jpg", "jpeg"),
        ("c.gif", "gif"),
        ("d.webp", "webp"),
        ("deep/é 1.png", "png"),
        ("deep/../a.png", "png"),
    ],
)
def test_a_file_beside_the_table_is_sent_whole(folder: ImageFolder, name: str, kind: str) -> None:
    url = parts(name, folder)[1]["image_url"]["url"]
    start, _, content = url.partition(",")
    assert start == f"data:image/{kind};base64"
    assert base64.b64decode(content) == (folder.path / name).read_bytes()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "has no address of an image"),
        ("  ", "has no address of an image"),
        ("missing.png", "cannot be read: No such file"),
        ("../outside.png", "is not in the folder of the table"),
        ("link.png", "is not in the folder of the table"),
        ("/etc/passwd", "is not in the folder of the table"),
        ("secret.txt", "is no PNG, JPEG, GIF or WebP file"),
        ("page.png", "is no PNG"),
        ("empty.png", "is no PNG"),
        ("large.png", "has more than 1,000 bytes"),
        ("pipe.png", "is no file"),
        ("deep", "is no file"),
        ("x" * 5000, "cannot be read"),
        ("file:///etc/passwd", "is no address of an image"),
        ("ftp://x/y.png", "is no address of an image"),
        ("javascript:alert(1)", "is no address of an image"),
        ("data:text/html;base64,AAAA", "is no address of an image"),
        ("data:image/png;base64,<>", "is no address of an image"),
    ],
)
def test_anything_else_is_refused_with_its_row(
    folder: ImageFolder, address: str, words: str
) -> None:
    error = read(address, folder)
    assert isinstance(error, LineError)
    assert words in error.message
    assert error.line == 1
    assert len(error.message) < 500


def test_without_a_folder_no_file_is_read() -> None:
    error = read("a.png")
    assert isinstance(error, LineError)
    assert "only process_batch reads files" in error.message


@pytest.mark.parametrize(
    "template", ["{{ photo | image | truncate(5) }}", "{{ (photo | image)[1:] }}"]
)
def test_a_changed_image_is_refused(template: str) -> None:
    error = read(DATA, template=template)
    assert isinstance(error, LineError)
    assert "must be the last one" in error.message


def test_only_user_messages_to_a_chat_have_images() -> None:
    messages = [
        TemplateMessage(role="system", content="{{ photo | image }}"),
        TemplateMessage(role="user", content="{{ photo }}"),
    ]
    with pytest.raises(TemplateRefused, match="Only a user message"):
        RowTemplate(messages, max_chars=1000)
    template = RowTemplate(
        [TemplateMessage(role="user", content="{{ photo | image }}")], max_chars=1000
    )
    template.check_against(RESPONSES, {})
    with pytest.raises(TemplateRefused, match="without images"):
        template.check_against("/v1/embeddings", {})


def test_people_see_where_an_image_is() -> None:
    template = RowTemplate(
        [TemplateMessage(role="user", content="Look: {{ photo | image }}!")], max_chars=1000
    )
    [message] = template.messages_for({"photo": "a.png"})
    assert with_images_shown(message["content"]) == "Look: [image: a.png]!"
