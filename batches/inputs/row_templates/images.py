"""Images in prompts: the filter `image` marks an address, which becomes a part of its own.

The mark is a character that neither a template nor a cell can have.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batches.engine.errors import PromptRejected
from batches.engine.text.wording import shown
from batches.inputs.row_templates.bodies import TEMPLATE

MARK = "\0"
IMAGE = "image"
MISPLACED = (
    "The filter 'image' must be the last one in its place: {{ photo | image }}. Other filters and "
    "operators do not take an image."
)
# How the files of the kinds begin that models commonly read.
_KINDS: Mapping[re.Pattern[bytes], str] = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): "png",
    re.compile(rb"\xff\xd8\xff"): "jpeg",
    re.compile(rb"GIF8[79]a"): "gif",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "webp",
}
_LONGEST_BEGINNING = 12
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_DATA = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/]+={0,2}")
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The folder that the image files of a table are in, and the most bytes of one of them."""

    path: Path
    most_bytes: int

    def data_url(self, name: str) -> str:
        """Return a file of this folder or below as a data URL. Raise PromptRejected."""
        root = self.path.resolve()
        try:
            file = (root / name).resolve()
            if not file.is_relative_to(root):
                raise _refused(name, "is not in the folder of the table")
            content = self._content(file, name)
        except OSError as error:
            raise _refused(name, f"cannot be read: {error.strerror or error}") from error
        kind = next((kind for start, kind in _KINDS.items() if start.match(content)), None)
        if kind is None:
            raise _refused(name, "is no PNG, JPEG, GIF or WebP file")
        return f"data:image/{kind};base64,{b64encode(content).decode()}"

    def _content(self, file: Path, name: str) -> bytes:
        # A pipe or device would never end.
        if file.exists() and not file.is_file():
            raise _refused(name, "is no file")
        with file.open("rb") as stream:
            content = stream.read(self.most_bytes + 1)
        if len(content) > self.most_bytes:
            raise _refused(name, f"has more than {self.most_bytes:,} bytes")
        return content


def with_images_shown(text: str) -> str:
    """Return a text with its images as words, for people."""
    pieces = text.split(MARK)
    return "".join(f"[image: {piece}]" if n % 2 else piece for n, piece in enumerate(pieces))


def content_of(text: str, field: str, folder: ImageFolder | None) -> str | list[dict[str, Any]]:
    """Return a text as the content of a message in this field of a body; with images, its parts.

    Raise PromptRejected for an image that cannot be sent.
    """
    if MARK not in text:
        return text
    pieces = text.split(MARK)
    if len(pieces) % 2 == 0:
        raise PromptRejected(MISPLACED, param=TEMPLATE, code="template_failed")
    parts: list[dict[str, Any]] = []
    is_chat = field == "messages"
    for number, piece in enumerate(pieces):
        if number % 2:
            url = _url_of(piece, folder)
            image = {"type": "image_url", "image_url": {"url": url}}
            parts.append(image if is_chat else {"type": "input_image", "image_url": url})
        elif piece.strip():
            parts.append({"type": "text" if is_chat else "input_text", "text": piece})
    return parts


def _url_of(address: str, folder: ImageFolder | None) -> str:
    if _URL.fullmatch(address) or _DATA.fullmatch(address):
        return address
    if _ANY_SCHEME.match(address):
        raise _refused(address, "is no address of an image: give https://…, data:image/…;base64,…")
    if folder is None:
        raise _refused(
            address,
            "is a file, and only process_batch reads files, beside its input: give https://… or "
            "data:image/…;base64,…",
        )
    return folder.data_url(address)


def _refused(address: str, why: str) -> PromptRejected:
    return PromptRejected(
        f"The image {shown(address)} {why}.", param=TEMPLATE, code="invalid_image"
    )
