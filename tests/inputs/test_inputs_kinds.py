"""Files that other programs wrote: in other encodings, packed, or no text at all."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import gzip
import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.file_kinds import KINDS, kind_of
from batches.inputs.input_formats import (
    ASSUMED_ENCODING,
    InputFormat,
    format_of,
)
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.inputs.text_lines import HEAD_BYTES, SMALL_BYTES
from tests.inputs.test_inputs import CHAT, faults, line, prompts, read, request_line
from tests.inputs.test_inputs_hostile import peak_of

JSONL = '{"prompt": "café"}\n{"prompt": "zwei"}\n'
TABLE = "prompt\tid\ncafé\t1\nzwei\t2\n"
TEXT = "café\nzwei\n"
SAMPLES: dict[InputFormat, str] = {
    "jsonl": JSONL,
    "csv": TABLE.replace("\t", ","),
    "tsv": TABLE,
    "text": TEXT,
}


def texts(items: list[NewPrompt | LineError]) -> list[str]:
    return [prompt.body for prompt in prompts(items)]


def check_sample(items: list[NewPrompt | LineError]) -> None:
    first, second = texts(items)
    assert "café" in first
    assert "zwei" in second


@pytest.mark.parametrize("form", SAMPLES)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_is_read_in_the_encoding_that_it_is_clearly_in(
    form: InputFormat, mark: str, encoding: str, end: str
) -> None:
    if mark and encoding == "cp1252":
        mark = ""
    if not mark and encoding.startswith("utf-32"):
        mark = "\ufeff"
    raw = (mark + SAMPLES[form].replace("\n", end)).encode(encoding)
    check_sample(read(raw, form=form))
    check_sample(read(gzip.compress(raw), form=form))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "content",
    ["Привет, мир, как дела\n" * 3, "prompt;id\nΚαλημέρα κόσμε;1\n", '{"prompt": "你好"}\n'],
)
def test_utf16_without_a_mark_is_known_by_its_spaces_and_line_ends(
    encoding: str, content: str
) -> None:
    form: InputFormat = "jsonl" if content.startswith("{") else "csv" if ";" in content else "text"
    good = texts(read(content.encode(), form=form))
    assert good
    assert texts(read(content.encode(encoding), form=form)) == good


WESTERN = (
    "L’œuvre coûte 5 € – « déjà vu »…",
    "Straße, Größe, Äpfel und „Übermut“",
    "¿Qué año? ¡Señor, 20 °C!",
    "ação, às 3ª e 2º põe",
    "blåbærsyltetøy på øya",
    "naïve créée façade",
    "il a reçu ½ m² ± 5 %",
)
OTHERS = (
    ("cp1251", "Привет мир"),
    ("koi8-r", "Привет мир"),
    ("cp1253", "Καλημέρα κόσμε"),
    ("cp1255", "שלום עולם"),
    ("cp1256", "مرحبا بالعالم"),
    ("cp1250", "Zażółć gęślą jaźń"),
    ("cp1250", "Příliš žluťoučký kůň"),
    ("cp1250", "Árvíztűrő tükörfúrógép"),
    ("cp1254", "Pijamalı hasta yağız şoföre"),
    ("shift_jis", "こんにちは世界"),
    ("gbk", "你好世界"),
    ("euc_kr", "안녕하세요"),
    ("mac_roman", "für größe é"),
    ("cp850", "März über äpfel"),
)


@pytest.mark.parametrize("text", WESTERN)
def test_windows_1252_is_read_and_said_to_be_assumed(text: str) -> None:
    first, second, third = prompts(read(f"plain\n{text}\n{text}\n".encode("cp1252"), form="text"))
    assert text in second.body.encode().decode()
    assert text in third.body
    [warning] = second.warnings
    assert (warning.rule, first.warnings, third.warnings) == (ASSUMED_ENCODING, (), ())
    assert "save it as UTF-8" in warning.message


@pytest.mark.parametrize(("encoding", "text"), OTHERS)
@pytest.mark.parametrize("form", ["text", "csv"])
def test_another_code_page_is_refused_and_not_guessed(
    encoding: str, text: str, form: InputFormat
) -> None:
    [error] = read(f"prompt\n{text}\n".encode(encoding), form=form)[-1:]
    assert isinstance(error, LineError)
    assert error.code == "invalid_encoding"
    assert "is not UTF-8: byte 0x" in error.message
    assert "Save the file as UTF-8" in error.message


@pytest.mark.parametrize("good", [0, 1, 20_000])
@pytest.mark.parametrize("bad", [b"\xff\xff\xff\xff", b"\x00\x00\x11\x00", b"\x41\x00"])
def test_what_is_no_character_of_utf32_is_named(good: int, bad: bytes) -> None:
    raw = b"\xff\xfe\x00\x00" + "fine\n".encode("utf-32-le") * good + bad
    *_, error = read(raw, form="text")
    assert isinstance(error, LineError)
    assert error.code == "invalid_encoding"
    assert "UTF-32" in error.message
    assert "Save it as UTF-8" in error.message


def test_a_file_in_two_encodings_is_refused_at_the_line() -> None:
    utf8, western = "café\n".encode(), "café\n".encode("cp1252")
    for raw in (utf8 + western, western + utf8):
        got = read(b"plain\n" + raw, form="text")
        assert faults(got) == [(3, "invalid_encoding", None)]
        assert "UTF-8" in str(got[2])


def test_half_of_a_pair_is_named_in_every_encoding() -> None:
    half = '{"prompt": "a\ud83d"}\n'
    good = '{"prompt": "b"}\n'
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        got = read((good + half + good).encode(encoding, "surrogatepass"))
        assert faults(got) == [(2, "invalid_encoding", None)]
        assert "half of a surrogate pair" in str(got[1])
        assert len(prompts([got[0], got[2]])) == 2
    [escaped] = read(rb'{"messages": [{"role": "user", "content": "\ud83d"}]}')
    assert isinstance(escaped, LineError)
    assert (
        "'body.messages[0].content' contains half of a surrogate pair (\\ud83d)" in escaped.message
    )


def test_utf16_that_ends_within_a_character_is_named() -> None:
    got = read('{"prompt": "a"}\n'.encode("utf-16-le") + b"x")
    assert "ends in the middle of a character of UTF-16-LE" in str(got[-1])


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("text", b"fine\na\0b\n"),
        ("csv", b"prompt\nfine\na\0b\n"),
        ("jsonl", b'{"prompt": "fine"}\n{"prompt": "a\0b"}\n'),
    ],
)
def test_a_nul_is_named_with_the_remedy(form: InputFormat, raw: bytes) -> None:
    good, bad = read(raw, form=form)
    assert isinstance(good, NewPrompt)
    assert isinstance(bad, LineError)
    assert "NUL (U+0000)" in bad.message
    assert "Remove it" in bad.message


def test_an_escaped_nul_is_json_and_is_sent() -> None:
    [prompt] = prompts(read(rb'{"prompt": "a\u0000b"}'))
    assert r"a\u0000b" in prompt.body
    [error] = read(rb'{"prompt": "a", "model": "m\u0000"}')
    assert isinstance(error, LineError)
    assert "'body.model' contains the character NUL" in error.message


# -- gzip


def test_gzip_of_several_parts_and_padding_is_unpacked() -> None:
    raw = gzip.compress(b"one\n") + gzip.compress(b"two\nthree") + b"\0" * 512
    assert len(prompts(read(raw, form="text"))) == 3


def test_a_large_file_survives_gzip_whole() -> None:
    raw = b"".join(
        b'{"prompt": "%d %s"}\n' % (n, bytes(str(n * n), "ascii") * 20) for n in range(3000)
    )
    assert texts(read(gzip.compress(raw))) == texts(read(raw))


PACKED = gzip.compress(b"one\ntwo\n" * 1000)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (PACKED[:-1], "is truncated: send the whole file"),
        (PACKED[: len(PACKED) // 2], "is truncated: send the whole file"),
        (PACKED[:20] + b"\xff" * 20 + PACKED[40:], "is damaged: compress the text again"),
        (PACKED + b"more", "is damaged: compress the text again"),
        (gzip.compress(PACKED), "compressed with gzip twice: unpack it once"),
        (gzip.compress(b" " * (SMALL_BYTES + 100_000)), "unpacks to more than 500 times"),
        (gzip.compress(b"%PDF-1.7"), "is a PDF document"),
    ],
    # Not the bytes: they tell the time at which they were packed.
    ids=lambda value: value if isinstance(value, str) else "gzip",
)
def test_gzip_that_cannot_be_read_is_refused_in_words(raw: bytes, says: str) -> None:
    last = read(raw, form="text")[-1]
    assert isinstance(last, LineError)
    assert last.code == "invalid_file"
    assert says in str(last)
    assert not str(last).startswith("line")


def test_a_bomb_is_not_held() -> None:
    bomb = gzip.compress(b"x" * 40_000_000, 9)
    count, peak = peak_of(iter([bomb]), "text")
    assert count == 1
    assert peak < 2_000_000


# -- what is no text


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names:
            opened.writestr(name, "<xml/>" * 100)
    return file.getvalue()


NO_TEXT: dict[str, bytes] = {
    "an Excel workbook (.xlsx)": archive("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"),
    "a Word document (.docx)": archive("[Content_Types].xml", "word/document.xml"),
    "an OpenDocument file (.ods, .odt)": archive("mimetype", "content.xml"),
    "a ZIP archive": archive("prompts.jsonl"),
    "an old Office file (.xls, .doc)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
    "a Parquet file": b"PAR1\x15\x04\x15\x10" + b"\0" * 100 + b"PAR1",
    "an Arrow or Feather file": b"ARROW1\0\0" + b"\xff" * 100,
    "an SQLite database": b"SQLite format 3\0\x10\0",
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "a GIF image": b"GIF89a\x01\0\x01\0",
    "a WebP image": b"RIFF\x24\0\0\0WEBPVP8 ",
    "a sound or video file": b"\0\0\0\x20ftypisom\0\0\x02\0",
    "an xz file": b"\xfd7zXZ\0\0\x04",
    "a bzip2 file": b"BZh91AY&SY\x01\x02",
    "a Zstandard file": b"\x28\xb5\x2f\xfd\x04\x00",
    "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c\0\x04",
    "a tar archive": b"prompts.jsonl".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 248,
    "a NumPy array": b"\x93NUMPY\x01\0v\0{'descr': '<f8'}",
}


@pytest.mark.parametrize("form", SAMPLES)
@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_is_refused_by_name_with_the_remedy(name: str, form: InputFormat) -> None:
    remedy = next(kind.remedy for kind in KINDS if kind.name == name)
    for raw in (NO_TEXT[name], gzip.compress(NO_TEXT[name])):
        [error] = read(raw, form=form)
        assert isinstance(error, LineError)
        assert error.code == "invalid_file"
        assert str(error) == f"The file is {name}, not lines of text: {remedy}."


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\n<HTML><body>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<a/>', "an XML document"),
        (rb"{\rtf1\ansi", "an RTF document"),
    ],
)
def test_a_page_is_no_file_of_lines_but_may_be_a_prompt(raw: bytes, name: str) -> None:
    for form in ("jsonl", "csv"):
        assert str(read(raw, form=form)[0]).startswith(f"The file is {name}, ")
    assert texts(read(raw, form="text"))


@given(st.text(min_size=1))
def test_no_text_is_taken_for_something_else(text: str) -> None:
    head = f'{{"prompt": "{text}"}}'.encode(errors="replace")[:HEAD_BYTES]
    assert kind_of(head, in_lines=True) is None


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", "jsonl"),
        ("A.CSV", "csv"),
        ("a.tsv.gz", "tsv"),
        ("a.tab", "tsv"),
        ("a.csv.gz", "csv"),
        ("a.txt", "text"),
        ("A.XLSX", "xlsx"),
        ("a.xlsm", "xlsx"),
        ("a.parquet", "parquet"),
        ("-", "jsonl"),
        ("csv", "jsonl"),
    ],
)
def test_the_name_of_a_file_tells_its_format(name: str, form: InputFormat) -> None:
    assert format_of(name, otherwise="jsonl") == form


# -- lines of other dialects

Change = Callable[[str], str]


@pytest.mark.parametrize(
    "url",
    [
        "/chat/completions",
        "chat/completions",
        "v1/chat/completions",
        "/v1/chat/completions/",
        "/openai/v1/chat/completions",
        " /v1/chat/completions",
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_the_url_of_a_line_may_lack_its_version_as_on_azure(url: str, *, strict: bool) -> None:
    options = InputOptions(
        endpoint=CHAT, defaults={"model": "m"}, max_line_bytes=10_000, strict=strict
    )
    raw = request_line(url=url) + b"\n" + request_line(custom_id="b")
    assert len(prompts(read_prompts(io.BytesIO(raw), options))) == 2


@pytest.mark.parametrize(
    "url",
    [
        "/embeddings",
        "https://evil.example/v1/chat/completions",
        "/openai/deployments/x/chat/completions",
        "/v2/chat/completions",
        "",
        "/",
    ],
)
def test_another_url_is_refused_with_the_one_that_is_expected(url: str) -> None:
    [error] = read(request_line(url=url))
    assert isinstance(error, LineError)
    assert error.message == (
        f"Invalid value for 'url': '{url}'. "
        "The url of each line must be the endpoint of the batch, '/v1/chat/completions'."
    )


@pytest.mark.parametrize("strict", [True, False])
def test_a_line_that_is_only_a_body_is_a_prompt(*, strict: bool) -> None:
    options = InputOptions(endpoint=CHAT, defaults={}, max_line_bytes=10_000, strict=strict)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    raw = b"\n".join([line(**body), line(**body, custom_id="mine")])
    first, second = prompts(read_prompts(io.BytesIO(raw), options))
    assert (first.custom_id, second.custom_id) == ("line-1", "mine")
    assert first.body == second.body


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (line(custom_id="a", params={}), ["'body'", "'prompt'", "'params'"]),
        (line(request={"contents": []}), ["'body'", "'messages'", "'request'"]),
        (b"{}", ["'body'", "empty"]),
        (b"prompt,id", ["begins with '{'", "'prompt,id'"]),
        (b'["a"]\n', ["single JSON document", "JSONL"]),
        (b'"text"', ["the string 'text'", "JSON object"]),
    ],
)
def test_a_line_of_something_else_is_told_what_it_is_and_what_is_wanted(
    raw: bytes, parts: list[str]
) -> None:
    message = str(read(raw)[0])
    assert all(part in message for part in parts), message
