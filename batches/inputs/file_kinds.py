"""Recognise files that are not text by their first bytes, and name the remedy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from batches.inputs.input_formats import InputFormat

AS_TEXT = "convert it to JSONL or CSV"
UNPACK = "unpack it and give the file inside (gzip is unpacked for you)"
SAVE_AS_CSV = 'save it in the spreadsheet as "CSV UTF-8"'
AS_XLSX = "read it in the format xlsx, or give it the ending .xlsx"
AS_PARQUET = "read it in the format parquet, or give it the ending .parquet"
NO_PROMPTS = "give a file of prompts: JSONL, CSV or text"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file without lines of text, and the remedy."""

    name: str
    remedy: str
    pattern: re.Pattern[bytes]
    # A web page or document is text too, and a file of texts may begin with one.
    is_text: bool = False

    def __str__(self) -> str:
        return f"The file is {self.name}, not lines of text: {self.remedy}."


def _kind(name: str, remedy: str, pattern: bytes, *, is_text: bool = False) -> Kind:
    return Kind(name, remedy, re.compile(pattern, re.DOTALL | re.IGNORECASE * is_text), is_text)


# The first match counts. The names of the first files in a ZIP archive show its kind.
KINDS = (
    _kind("an Excel workbook (.xlsx)", AS_XLSX, rb"PK\x03\x04.*?xl/"),
    _kind("a Word document (.docx)", AS_TEXT, rb"PK\x03\x04.*?word/"),
    _kind("a presentation (.pptx)", AS_TEXT, rb"PK\x03\x04.*?ppt/"),
    _kind("an OpenDocument file (.ods, .odt)", SAVE_AS_CSV, rb"PK\x03\x04.{26}mimetype"),
    _kind(
        "an Office file (.xlsx, .docx)", SAVE_AS_CSV, rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/)"
    ),
    _kind("a Numbers spreadsheet", SAVE_AS_CSV, rb"PK\x03\x04.{26}Index/"),
    _kind("a ZIP archive", UNPACK, rb"PK(\x03\x04|\x05\x06|\x07\x08)"),
    _kind("an old Office file (.xls, .doc)", SAVE_AS_CSV, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    _kind("a Parquet file", AS_PARQUET, rb"PAR[1E]"),
    _kind("an Arrow or Feather file", AS_TEXT, rb"ARROW1|FEA1"),
    _kind("an ORC file", AS_TEXT, rb"ORC[\x00-\x1f]"),
    _kind("an Avro file", AS_TEXT, rb"Obj\x01"),
    _kind("an SQLite database", AS_TEXT, rb"SQLite format 3\x00"),
    _kind("an HDF5 file", AS_TEXT, rb"\x89HDF\r\n\x1a\n"),
    _kind("a NumPy array", AS_TEXT, rb"\x93NUMPY"),
    _kind("a Python pickle", AS_TEXT, rb"\x80[\x02-\x05][\x80-\xff(\x00}\]c]"),
    _kind("a PDF document", AS_TEXT, rb"%PDF-"),
    _kind("a PostScript document", AS_TEXT, rb"%!PS"),
    _kind("a PNG image", NO_PROMPTS, rb"\x89PNG\r\n\x1a\n"),
    _kind("a JPEG image", NO_PROMPTS, rb"\xff\xd8\xff"),
    _kind("a GIF image", NO_PROMPTS, rb"GIF8[79]a"),
    _kind("a WebP image", NO_PROMPTS, rb"RIFF.{4}WEBP"),
    _kind("a TIFF image", NO_PROMPTS, rb"II\*\x00|MM\x00\*"),
    _kind("a BMP image", NO_PROMPTS, rb"BM.{4}\x00\x00\x00\x00"),
    _kind("a sound or video file", NO_PROMPTS, rb"RIFF.{4}(WAVE|AVI )|ID3|OggS\x00|fLaC|.{4}ftyp"),
    _kind("a bzip2 file", UNPACK, rb"BZh[1-9]1AY&SY"),
    _kind("an xz file", UNPACK, rb"\xfd7zXZ\x00"),
    _kind("a Zstandard file", UNPACK, rb"[\x22-\x28]\xb5\x2f\xfd"),
    _kind("an LZ4 file", UNPACK, rb"\x04\x22\x4d\x18"),
    _kind("a 7-Zip archive", UNPACK, rb"7z\xbc\xaf\x27\x1c"),
    _kind("a RAR archive", UNPACK, rb"Rar!\x1a\x07"),
    _kind("a compressed file (.Z)", UNPACK, rb"\x1f[\x9d\xa0]"),
    _kind("a tar archive", UNPACK, rb".{257}ustar"),
    _kind("a program", NO_PROMPTS, rb"\x7fELF|MZ.\x00|[\xce\xcf]\xfa\xed\xfe"),
    _kind("an RTF document", AS_TEXT, rb"\{\\rtf", is_text=True),
    _kind("an HTML page", AS_TEXT, rb"\s*<(!doctype html|html)[\s>]", is_text=True),
    _kind("an XML document", AS_TEXT, rb"\s*<\?xml\s", is_text=True),
)


def kind_of(head: bytes, *, in_lines: bool) -> Kind | None:
    """Return the kind of a file that begins with `head`, if such files contain no prompts.

    Text documents count only with `in_lines`; otherwise any text may be a prompt.
    """
    for kind in KINDS:
        if (in_lines or not kind.is_text) and kind.pattern.match(head):
            return kind
    return None


# How the tables begin that are not text; an encrypted workbook, too.
_BEGINNINGS: Mapping[InputFormat, tuple[str, tuple[bytes, ...]]] = {
    "xlsx": ("an Excel workbook (.xlsx)", (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")),
    "parquet": ("a Parquet file", (b"PAR1", b"PARE")),
}


def table_file_in(head: bytes) -> InputFormat | None:
    """Return the format of a table that is not text by its first bytes."""
    kind = kind_of(head, in_lines=False)
    names = {name: form for form, (name, _) in _BEGINNINGS.items()}
    return names.get(kind.name) if kind else None


def table_file_fault(head: bytes, form: InputFormat) -> str:
    """Return why a file that begins with `head` is no table of this format; "" if it may be one."""
    name, beginnings = _BEGINNINGS[form]
    if head.startswith(beginnings):
        return ""
    kind = kind_of(head, in_lines=True)
    if kind is None:
        return f"The file is not {name}: if it is text, give it the ending of its format."
    return f"The file is {kind.name}, not {name}: {kind.remedy}."
