"""A large file over the API: how long it takes, and how the web server's memory grows."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from openai import OpenAI

from benchmarks.process_cost import used_by
from benchmarks.tools import Row, data_folder, prompt_text
from tests.processes.api_stack import ApiServer, serving

TITLE = "Uploads: 200 MB through the web server, SQLite"
SIZE = 200_000_000
PART_BYTES = 16_000_000

T = TypeVar("T")


def measure() -> list[Row]:
    with data_folder() as folder, serving(environment(folder)) as server:
        client = server.client(max_retries=0)
        small, large = input_file(folder, 1000), input_file(folder, SIZE)
        upload(client, small)
        before = peak_mib(server)
        upload_s, file_id = timed(lambda: upload(client, large))
        after_upload = peak_mib(server)
        parts_s, _ = timed(lambda: upload_in_parts(client, large))
        after_parts = peak_mib(server)
        download_s, size = timed(lambda: download(client, file_id))
        after_download = peak_mib(server)
        lost = abs(size - large.stat().st_size)
    return [
        Row("upload", upload_s, "s"),
        Row("  the server's memory grows by", after_upload - before, "MiB", bar=50),
        Row("upload in parts of 16 MB", parts_s, "s"),
        Row("  the server's memory grows by", after_parts - before, "MiB", bar=50),
        Row("download", download_s, "s"),
        Row("  the server's memory grows by", after_download - before, "MiB", bar=50),
        Row("bytes lost", lost, "bytes", bar=0),
    ]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}


def input_file(folder: Path, size: int) -> Path:
    """A batch input of at least so many bytes."""
    path = folder / f"input-{size}.jsonl"
    number = 0
    with path.open("w") as file:
        while file.tell() < size:
            file.writelines(line(n) for n in range(number, number + 100))
            number += 100
    return path


def line(number: int) -> str:
    body = {
        "model": "simulated-small",
        "messages": [{"role": "user", "content": prompt_text(number) + " " + "word " * 60}],
    }
    request = {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(request) + "\n"


def upload(client: OpenAI, path: Path) -> str:
    """The id of the file."""
    return client.files.create(file=path, purpose="batch").id


def upload_in_parts(client: OpenAI, path: Path) -> str:
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=PART_BYTES
    )
    return done.id


def download(client: OpenAI, file_id: str) -> int:
    """How many bytes came."""
    with client.files.with_streaming_response.content(file_id) as response:
        return sum(map(len, response.iter_bytes()))


def timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.monotonic()
    result = call()
    return time.monotonic() - began, result


def peak_mib(server: ApiServer) -> float:
    """The most memory that the server has had so far."""
    return used_by([server.process.popen.pid]).peak_mib
