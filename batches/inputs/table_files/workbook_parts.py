"""Read what the cells of a workbook refer to: its sheets, shared texts and number formats."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from batches.inputs.table_files.archive import MAX_PART_BYTES, REMEDY, WORKBOOK, Archive, target_of
from batches.inputs.table_files.bounds import damaged
from batches.inputs.table_files.number_formats import NumberKind, built_in_kind, kind_of_format
from batches.inputs.table_files.xml_parts import PartReader, parsed
from batches.inputs.text_lines import UnreadableFile

# All different texts of the workbook are in memory.
MAX_TEXTS_BYTES = 128 * 1024 * 1024
# A character that XML cannot have, as a spreadsheet writes it.
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")

R = TypeVar("R", bound=PartReader)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet by its name, its part, and True if it is shown."""

    name: str
    part: str
    is_shown: bool


@dataclass(frozen=True, slots=True)
class Workbook:
    """The sheets of a workbook in their order, its shared texts, and the kinds of its styles."""

    sheets: Sequence[Sheet]
    texts: Sequence[str]
    kinds: Sequence[NumberKind]
    is_1904: bool

    @property
    def sheet(self) -> Sheet:
        """Return the first sheet that is shown."""
        return next((sheet for sheet in self.sheets if sheet.is_shown), self.sheets[0])


def read_workbook(archive: Archive) -> Workbook:
    """Read all of a workbook but its cells. Raise UnreadableFile."""
    book = _part_of_workbook(archive)
    links = _links_of(archive, book)
    found = _read(archive, book, _Book())
    sheets = [
        Sheet(name, links[link].part, is_shown=is_shown)
        for name, link, is_shown in found.sheets
        # Others hold charts, macros or dialogs.
        if link in links and links[link].kind == "worksheet"
    ]
    if not sheets:
        raise UnreadableFile(f"The workbook has no sheet with cells: {REMEDY}.")
    parts = {link.kind: link.part for link in links.values()}
    texts, styles = _SharedTexts(), _Styles()
    if (part := parts.get("sharedStrings")) and archive.has(part):
        _read(archive, part, texts, most=MAX_TEXTS_BYTES)
    if (part := parts.get("styles")) and archive.has(part):
        _read(archive, part, styles)
    return Workbook(sheets, texts.all, styles.kinds(), found.is_1904)


def unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot have, such as `_x000D_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _read(archive: Archive, part: str, reader: R, *, most: int = MAX_PART_BYTES) -> R:
    for _ in parsed(archive.pieces(part, most=most), reader):
        pass
    return reader


def _part_of_workbook(archive: Archive) -> str:
    links = _links_of(archive, "")
    parts = [link.part for link in links.values() if link.kind == "officeDocument"]
    if not parts:
        raise UnreadableFile("The file is a ZIP archive, but no Excel workbook (.xlsx).")
    if parts[0].endswith(".bin"):
        raise UnreadableFile("The workbook has the format .xlsb: save it as .xlsx.")
    return parts[0]


def _links_of(archive: Archive, part: str) -> "dict[str, _PartLink]":
    folder, _, name = part.rpartition("/")
    links = f"{folder}/_rels/{name}.rels"
    if not archive.has(links):
        what = "it has no list of its parts"
        raise damaged(WORKBOOK, what, "check that the file is a workbook, or save it as CSV")
    return {
        link: _PartLink(kind, target_of(part, target))
        for link, kind, target in _read(archive, links, _Links()).found
    }


@dataclass(frozen=True, slots=True)
class _PartLink:
    kind: str
    part: str


class _Nothing:
    def text(self, text: str) -> None:
        pass

    def end(self, name: str) -> None:
        pass


@dataclass(slots=True)
class _Links(_Nothing):
    """The links from a part to others: their IDs, kinds and targets."""

    found: list[tuple[str, str, str]] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.found.append((attributes.get("Id", ""), kind, attributes.get("Target", "")))


@dataclass(slots=True)
class _Book(_Nothing):
    """The sheets of a workbook: their names, their links, and True if they are shown."""

    sheets: list[tuple[str, str, bool]] = field(default_factory=list)
    is_1904: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr":
            self.is_1904 = attributes.get("date1904") in ("1", "true")
        elif name == "sheet":
            link = next((to for key, to in attributes.items() if key.endswith(":id")), "")
            is_shown = attributes.get("state", "visible") == "visible"
            self.sheets.append((attributes.get("name", ""), link, is_shown))


class _SharedTexts:
    """The shared texts of a workbook. Formats within a text and phonetic signs are left out."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._pieces: list[str] = []
        self._is_text = False
        self._phonetic = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._is_text = name == "t" and not self._phonetic
        self._phonetic += name == "rPh"

    def text(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        self._is_text = False
        self._phonetic -= name == "rPh"
        if name == "si":
            self.all.append(unescaped("".join(self._pieces)))
            self._pieces.clear()


class _Styles(_Nothing):
    """The number formats of the styles that cells refer to."""

    def __init__(self) -> None:
        self._formats: dict[str, NumberKind] = {}
        self._used: list[str] = []
        self._is_within = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            kind = kind_of_format(attributes.get("formatCode", ""))
            self._formats[attributes.get("numFmtId", "")] = kind
        elif name == "cellXfs":
            self._is_within = True
        elif name == "xf" and self._is_within:
            self._used.append(attributes.get("numFmtId", "0"))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._is_within = False

    def kinds(self) -> list[NumberKind]:
        """Return the kind of a number in each style."""
        return [self._kind(number) for number in self._used]

    def _kind(self, number: str) -> NumberKind:
        built_in = built_in_kind(int(number)) if number.isdecimal() and len(number) < 6 else ""
        return self._formats.get(number, built_in)
