"""The first line of an input names the endpoint, and is read again with the rest."""

import io
import json
import os
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.management.first_line import endpoint_named_in


def named(url: object) -> bytes:
    return json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": {}}).encode()


@pytest.mark.parametrize(
    ("content", "endpoint"),
    [
        (named("/v1/embeddings"), "/v1/embeddings"),
        (named("/v1/responses") + b"\n" + named("/v1/embeddings"), "/v1/responses"),
        (b"\n \r\n\t\n" + named("/v1/embeddings") + b"\n", "/v1/embeddings"),
        (b"\xef\xbb\xbf" + named("/v1/embeddings"), "/v1/embeddings"),
        (named("/embeddings"), "/v1/embeddings"),
        (named("/v1/nothing"), None),
        (named(["/v1/embeddings"]), None),
        (named(None), None),
        (b'{"prompt": "x"}\n' + named("/v1/embeddings"), None),
        (b'{"body": {"url": "/v1/embeddings"}}', None),
        (b'["/v1/embeddings"]', None),
        (b"[" * 100_000, None),
        (b'"url": "/v1/embeddings"', None),
        (b"\xff\xfe\x00", None),
        (b"", None),
        (b"\n" * 5_000, None),
    ],
)
def test_the_endpoint_is_the_url_of_the_first_line(content: bytes, endpoint: str | None) -> None:
    whole, found = endpoint_named_in(io.BytesIO(content), most_bytes=1_000_000)
    assert found == endpoint
    assert whole.read() == content


@given(st.binary(max_size=300), st.integers(1, 50))
def test_nothing_of_the_input_is_lost(content: bytes, most: int) -> None:
    whole, _ = endpoint_named_in(io.BytesIO(content), most_bytes=most)
    lines = []
    while line := whole.readline(7):
        lines.append(line)
    assert b"".join(lines) == content


def test_a_pipe_is_read_on_as_it_is_written() -> None:
    """A line is had before the next one is written."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as source, os.fdopen(write_end, "wb", 0) as target:
        target.write(named("/v1/embeddings") + b"\n")
        whole, found = endpoint_named_in(cast("BinaryIO", source), most_bytes=1000)
        assert found == "/v1/embeddings"
        assert whole.readline() == named("/v1/embeddings") + b"\n"
        target.write(b"second\n")
        assert whole.readline() == b"second\n"
        target.close()
        assert whole.readline() == b""
