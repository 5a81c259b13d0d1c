"""The first line of an input names the endpoint, and is read again with the rest."""

import gzip
import io
import json
import os
from functools import partial
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.text_lines import BadLine, TextLines
from batches.management.bulk.first_line import endpoint_named_in, first_line_of


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
        (
            named("/v1/embeddings").decode().encode("utf-16"),
            "/v1/embeddings",
        ),
        (gzip.compress(named("/v1/embeddings") + b"\n", mtime=0), "/v1/embeddings"),
        (gzip.compress(named("/v1/embeddings"), mtime=0)[:-9], None),
        (b"PK\x03\x04 packed", None),
        (b"\xff\xfe\x00", None),
        (b"", None),
        (b"\n" * 5_000, None),
    ],
)
def test_the_endpoint_is_the_url_of_the_first_line(content: bytes, endpoint: str | None) -> None:
    whole, line = first_line_of(io.BytesIO(content), most_bytes=1_000_000)
    assert endpoint_named_in(line) == endpoint
    assert lines_of(whole) == lines_of(io.BytesIO(content))


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(str.encode)
    | st.text(max_size=300).map(lambda text: text.encode("utf-16", "replace"))
    | st.binary(max_size=300).map(partial(gzip.compress, mtime=0)),
    st.integers(1, 50),
)
def test_nothing_of_the_input_is_lost(content: bytes, most: int) -> None:
    whole, _ = first_line_of(io.BytesIO(content), most_bytes=most)
    assert lines_of(whole, most) == lines_of(io.BytesIO(content), most)


def lines_of(stream: BinaryIO, most: int = 1_000_000) -> list[tuple[int, str] | BadLine]:
    return list(TextLines(stream, most))


def test_a_pipe_is_read_to_its_end() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as source:
        with os.fdopen(write_end, "wb", 0) as target:
            target.write(named("/v1/embeddings") + b"\nsecond\n")
        whole, line = first_line_of(cast("BinaryIO", source), most_bytes=1000)
        assert endpoint_named_in(line) == "/v1/embeddings"
        assert lines_of(whole)[1:] == [(2, "second\n")]
