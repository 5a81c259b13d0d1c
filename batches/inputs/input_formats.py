"""The formats of input files, as the names of files tell them."""

from pathlib import PurePath
from typing import Literal

# The code of the warning that the encoding of a file was assumed.
ASSUMED_ENCODING = "assumed_encoding"
# The code of the warning about cells of a table that a spreadsheet may run.
FORMULA_CELLS = "formula_cells"
# A spreadsheet runs a text that begins with one of these as a formula.
FORMULA_STARTS = (
    *("=", "+", "-", "@", "\t", "\r", "\n", "\x00"),
    # The full-width forms of the first four.
    *("\uff1d", "\uff0b", "\uff0d", "\uff20"),
)

# The code of the warning that a workbook has further sheets, which are not read.
FIRST_SHEET = "first_sheet"

InputFormat = Literal["jsonl", "csv", "tsv", "xlsx", "parquet", "text"]
INPUT_FORMATS: tuple[InputFormat, ...] = ("jsonl", "csv", "tsv", "xlsx", "parquet", "text")
# Tables with a header, and the tables among them that are not text.
TABLES: frozenset[InputFormat] = frozenset({"csv", "tsv", "xlsx", "parquet"})
TABLE_FILES: frozenset[InputFormat] = frozenset({"xlsx", "parquet"})

_BY_SUFFIX: dict[str, InputFormat] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
    ".parquet": "parquet",
    ".txt": "text",
}


def format_of(name: str, *, otherwise: InputFormat) -> InputFormat:
    """Return the format of a file by the suffix of its name, ignoring .gz."""
    return named_format(name) or otherwise


def named_format(name: str) -> InputFormat | None:
    """Return the format that the name of a file tells, ignoring .gz; None if it tells none."""
    return _BY_SUFFIX.get(PurePath(name.lower().removesuffix(".gz")).suffix)
