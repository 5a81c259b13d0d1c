"""The part of the form for a new batch that holds its input: pasted, uploaded, or kept before."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile

from batches.admin.batches.creation.template_form import TemplateForm
from batches.admin.widgets import FileInput, SelectInput, Text, TextArea, Toggle
from batches.conf import conf
from batches.files.files import BATCH, unexpired
from batches.inputs.input_formats import TABLES, InputFormat, format_of
from batches.inputs.prompt_files import columns_of
from batches.models import File
from batches.users import User

# The purpose of files that were uploaded with the form; they are kept unchanged for an hour.
KEPT = "user_data"
GONE = "The uploaded file was kept for an hour and has expired. Choose it again."
NOT_BOTH = "Paste prompts or choose a file, not both."
NOT_BOTH_KEPT = "There are both pasted prompts and an uploaded file. Remove one of them."
NOTHING_GIVEN = "Paste prompts or choose a file."

USUAL_COLUMN = "prompt"
# Columns that do not hold prompts.
ID_COLUMNS = {"custom_id", "id"}

FORMATS = (
    ("", "Detect from the file name, else text"),
    ("text", "Text: one prompt per line"),
    ("jsonl", "JSONL: one object per line, in the format of the Batch API or shorter"),
    ("csv", "CSV: a header, then one prompt per row"),
    ("tsv", "TSV: like CSV, with tabs between columns"),
    ("xlsx", "XLSX: the first sheet, a header, then one prompt per row"),
    ("parquet", "Parquet: one prompt per row"),
)


class InputForm(TemplateForm):
    """The prompts of a batch, and how to read them."""

    prompts = forms.CharField(
        label="Paste prompts",
        required=False,
        strip=False,
        widget=TextArea(rows=8, placeholder="One prompt per line"),
    )
    file = forms.FileField(
        label="Or choose a file",
        required=False,
        widget=FileInput(accept=".jsonl,.ndjson,.json,.csv,.tsv,.xlsx,.parquet,.txt,.gz"),
        help_text="JSONL, CSV, TSV or text, in UTF-8 or as Excel writes it; XLSX (the first sheet) "
        "or Parquet. Gzip is unpacked.",
    )
    # The ID of a file uploaded earlier with this form, so that the user need not choose it again.
    stored = forms.CharField(required=False, widget=forms.HiddenInput())
    drop_stored = forms.BooleanField(
        label="Remove this file", required=False, widget=Toggle(), initial=False
    )
    format = forms.ChoiceField(choices=FORMATS, required=False, widget=SelectInput())
    column = forms.CharField(
        label="CSV column",
        initial=USUAL_COLUMN,
        required=False,
        widget=Text(),
        help_text="The column with the prompts; not used with a template. A custom_id column, if "
        "present, is used as the ID.",
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.upload: UploadedFile[bytes] | None = None
        self.kept: File | None = None

    def find_input(self) -> None:
        """Find a file that was uploaded before, and require either pasted prompts or a file."""
        self._find_kept()
        self._check_source()

    @property
    def pasted(self) -> str:
        """Return the pasted prompts, or an empty string if they are blank."""
        return self.text_in("prompts")

    def is_given(self) -> bool:
        """Return True if prompts are pasted or a file is there."""
        return bool(self.upload or self.kept or self.pasted)

    def input_format(self) -> InputFormat:
        """Return the chosen format, else the one that the name of the file says."""
        given: InputFormat | None = self.cleaned_data.get("format") or None
        return given or format_of(self.filename, otherwise="text")

    def offer_columns(self) -> None:
        """Let the user choose among the columns of the table, if there is one."""
        names = self.columns()
        if not names:
            return
        others = [name for name in names if name not in ID_COLUMNS]
        if self["column"].value() not in names and len(others) == 1:
            # The only column that can hold the prompts is chosen, since it comes first.
            names = [*others, *ID_COLUMNS & set(names)]
        elif self["column"].value() not in names:
            names = ["", *names]
        widget = SelectInput()
        widget.choices = [(name, name or "Choose a column") for name in names]
        self.fields["column"].widget = widget

    def columns(self) -> list[str]:
        """Return the columns of the given table; none if there is none."""
        if not self.is_bound or self.input_format() not in TABLES or not self.is_given():
            return []
        with self.source() as stream:
            most = conf().MAX_LINE_BYTES
            return columns_of(stream, self.input_format(), column=USUAL_COLUMN, max_line_bytes=most)

    def table_format(self) -> InputFormat | None:
        """Return the format of the given table; None if there is no input, or it is a text."""
        found = self.input_format() if self.is_bound and self.is_given() else "text"
        return None if found == "text" else found

    def clean_file(self) -> "UploadedFile[bytes] | None":
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if file is not None and (file.size or 0) > conf().MAX_FILE_BYTES:
            raise forms.ValidationError(
                f"The file is larger than {conf().MAX_FILE_BYTES} bytes (MAX_FILE_BYTES)."
            )
        self.upload = file
        return file

    def _find_kept(self) -> None:
        data = self.cleaned_data
        name = data.get("stored")
        if not name or self.upload or data.get("drop_stored"):
            return
        # Once a batch was started, the file is its input.
        mine = unexpired().filter(owner=self._user, purpose__in=(KEPT, BATCH))
        self.kept = mine.filter(public_id=name).first()
        if self.kept is None:
            self.add_error("file", GONE)

    def _check_source(self) -> None:
        """Require either pasted prompts or a file, not both."""
        file = self.upload or self.kept
        if self.pasted and file:
            self.add_error("file", NOT_BOTH_KEPT if self.kept else NOT_BOTH)
        elif not self.pasted and not file and "file" not in self.errors:
            self.add_error("prompts", NOTHING_GIVEN)

    @property
    def filename(self) -> str:
        """Return the name of the file with the prompts; empty if they were pasted."""
        if self.upload:
            return self.upload.name or ""
        return self.kept.filename if self.kept else ""

    @contextmanager
    def source(self) -> Iterator[BinaryIO]:
        """Open the pasted or uploaded prompts at their beginning."""
        if self.upload is not None:
            self.upload.seek(0)
            yield cast(BinaryIO, self.upload.file)
        elif self.kept is not None:
            with self.kept.content.open("rb") as stream:
                yield cast(BinaryIO, stream)
        else:
            yield io.BytesIO(self.pasted.encode(errors="replace"))
