"""Files that were made to break the reading: deep, endless, random."""

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.input_formats import InputFormat
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.request_lines import parse_line
from batches.inputs.text_lines import first_line
from tests.inputs.test_inputs import CHAT, read


def deeper(frames: int, call: Callable[[], Any]) -> Any:
    """What a function returns that is called from so many frames further down."""
    return call() if frames == 0 else deeper(frames - 1, call)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_accepted_at_the_door_can_be_read_again_from_deeper_down(opening: str) -> None:
    # Parsers count the frames below them: a worker has more of them than the command that read
    # the file, and must not stumble over a prompt that was let in.
    closing = "]" if opening == "[" else "}"
    accepted = 0
    for depth in range(50, 1000, 5):
        inner = opening * depth + ("" if opening == "[" else "1") + closing * depth
        got = read(b'{"prompt": "hi", "x": %s}' % inner.encode())
        for prompt in got:
            if isinstance(prompt, NewPrompt):
                accepted += 1
                assert deeper(200, partial(json.loads, prompt.body))
    assert accepted


class Endless(io.RawIOBase):
    """A file that is made while it is read, and never there as a whole."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return 0
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def peak_of(pieces: Iterator[bytes], form: InputFormat) -> tuple[int, int]:
    """The items of a file that is read one by one, and the most bytes that were held."""
    options = InputOptions(
        endpoint=CHAT, defaults={"model": "m"}, max_line_bytes=2000, format=form, column="prompt"
    )
    count = 0
    tracemalloc.start()
    try:
        for _ in read_prompts(io.BufferedReader(Endless(pieces)), options):
            count += 1
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_only_one_line_of_a_file_is_held(form: InputFormat) -> None:
    start = iter([b"prompt\n"] if form == "csv" else [])
    one = b'{"prompt": "%s"}\n' % (b"x" * 1000) if form == "jsonl" else b"x" * 1000 + b"\n"
    pieces = (one for _ in range(10_000))
    count, peak = peak_of((piece for source in (start, pieces) for piece in source), form)
    assert count == 10_000
    assert peak < 500_000


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_a_line_without_an_end_is_not_held_either(form: InputFormat) -> None:
    count, peak = peak_of((b"x" * 100_000 for _ in range(300)), form)
    assert count == 1
    assert peak < 1_000_000


STARTS = [b"", b"prompt\n", b"prompt,custom_id\n", b'prompt\n"', b'{"prompt": "']
likely = st.text(alphabet='a",\r\n\x00{}:[] ', max_size=40).map(str.encode)


@given(
    start=st.sampled_from(STARTS),
    rest=st.binary(max_size=60) | likely,
    form=st.sampled_from(["jsonl", "text", "csv", "tsv"]),
)
def test_no_file_breaks_the_reading(start: bytes, rest: bytes, form: InputFormat) -> None:
    raw = start + rest
    for item in read(raw, form=form, max_line_bytes=30):
        assert 1 <= item.line <= raw.count(b"\n") + raw.count(b"\r") + 1
        str(item).encode()
        if isinstance(item, NewPrompt):
            assert json.loads(item.body)


@pytest.mark.parametrize("piece", [b"\n" * 10_000, b" " * 10_000, b"x" * 10_000])
def test_the_first_line_is_looked_for_in_a_bounded_part_of_a_file(piece: bytes) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield piece

    assert first_line(io.BufferedReader(Endless(pieces())), 50_000) is None
    assert taken < 20


@pytest.mark.parametrize(
    ("content", "kind"),
    {
        "a photograph": ('"' + "A" * 3_000_000 + '"', NewPrompt),
        "escapes": ('"' + r"\"\\" * 800_000 + '"', NewPrompt),
        "many objects": ("[" + "{}," * 700_000 + "{}]", LineError),
        "many short texts": ("[" + '"ab",' * 1_100_000 + '"ab"]', LineError),
        "many numbers": ("[" + "1," * 700_000 + "1]", LineError),
        "a text without an end": ('"' + r"\"" * 1_000_000, LineError),
        "escapes outside of a text": (r"\"" * 1_000_000, LineError),
    }.values(),
    ids=["photograph", "escapes", "objects", "texts", "numbers", "no end", "outside"],
)
def test_a_long_line_is_taken_if_its_texts_are_what_is_long(content: str, kind: type) -> None:
    line = f'{{"model": "m", "messages": [{{"role": "user", "content": {content}}}]}}\n'
    options = InputOptions(endpoint="/v1/chat/completions", defaults={}, max_line_bytes=20 * 2**20)
    [found] = read_prompts(io.BytesIO(line.encode()), options)
    assert isinstance(found, kind)
    assert kind is NewPrompt or len(str(found)) < 500


def test_a_header_that_never_ends_is_bounded_by_its_bytes_and_not_by_its_lines() -> None:
    taken = 0

    def lines() -> Iterator[bytes]:
        nonlocal taken
        yield b'"'
        while True:
            taken += 1
            yield b"x" * 999 + b"\n"

    options = InputOptions(
        endpoint=CHAT, defaults={"model": "m"}, max_line_bytes=20_000, format="csv"
    )
    found = list(read_prompts(io.BufferedReader(Endless(lines())), options))
    assert [type(one) for one in found] == [LineError]
    assert "MAX_LINE_BYTES" in str(found[0])
    assert taken < 100


def test_the_escapes_of_a_line_are_not_remembered() -> None:
    text = '{"prompt": "' + r"\n" * 1_000_000 + '"}'
    tracemalloc.start()
    parse_line(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The text, and what it is read to.
    assert peak < 4 * len(text)
