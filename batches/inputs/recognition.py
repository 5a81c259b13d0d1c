"""Recognise the format of an input from its first line."""

import csv
import re
from collections.abc import Collection

from batches.inputs.input_formats import InputFormat

_DELIMITERS = "\t,;|"
_SEP = re.compile(r'"?sep=.', re.IGNORECASE)
# A name of a column: up to three words, without the punctuation of a sentence.
_NAME = re.compile(r"[\w-]+(?: [\w-]+){0,2}")


def format_in(line: str, *, columns: Collection[str], is_table: bool = False) -> InputFormat | None:
    """Return the format of an input by its first line; None if it may be a table or a text.

    `columns` are names that the header of a table has, such as the column of the prompts;
    `is_table` says that the input is one.
    """
    if line.startswith(("{", "[")):
        return "jsonl"
    names = {mark: _cells(line, mark) for mark in _DELIMITERS}
    wanted = set(columns)
    if not wanted.isdisjoint(names["\t"]) and len(names["\t"]) > 1:
        return "tsv"
    if is_table or _SEP.match(line) or any(map(wanted.intersection, names.values())):
        return "csv"
    return None if any(map(_is_header, names.values())) else "text"


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_header(cells: list[str]) -> bool:
    return len(cells) > 1 and all(map(_NAME.fullmatch, filter(None, cells)))
