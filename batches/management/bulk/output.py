"""Write results to files, which appear complete or not at all, and to pipes and devices."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from batches.extras import require
from batches.management.bulk.usage import UsageError
from batches.management.pipes import STANDARD_OUTPUT, discard_standard_output, ended_by_reader
from batches.models import Batch, Result
from batches.output.csv import csv_lines
from batches.output.jsonl import json_lines, write_results

# The status of the results in a file, by whether it has failed ones.
_STATUSES = {None: None, False: Result.SUCCEEDED, True: Result.FAILED}
OutputFormat = Literal["jsonl", "csv", "parquet"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
# Programs would take such a file for what it is not.
OTHER_ENDINGS = (".xlsx", ".xls", ".ods", ".tsv", ".gz", ".zip")


def write_outputs(
    batch: Batch, output: str, errors: str | None, *, form: OutputFormat | None = None
) -> None:
    """Write the results of a batch, failed ones to `errors` if it is given. Raises OSError, and
    NotPossible for an answer that does not fit into a Parquet file.

    Without a format, a file with the ending .csv is a table for spreadsheets, a file with the
    ending .parquet a Parquet file, and any other output has JSON lines.
    """
    names = [output, errors] if errors else [output]
    with ExitStack() as stack:
        files = [stack.enter_context(opened_output(name)) for name in names]
        forms = [form or format_of_output(name) for name in names]
        if set(forms) == {"jsonl"}:
            write_results(batch, *files)
            return
        for number, (file, form_) in enumerate(zip(files, forms, strict=True)):
            # Without a file of errors, all results are in one.
            failed = bool(number) if errors else None
            if form_ == "csv":
                file.writelines(line.decode() for line in csv_lines(batch, failed=failed))
            elif form_ == "parquet":
                _write_parquet(batch, file, failed=failed)
            else:
                file.writelines(json_lines(batch, status=_STATUSES[failed]))


def format_of_output(name: str) -> OutputFormat:
    """Return the format of an output by the ending of its name."""
    ending = name.lower().rpartition(".")[2]
    return next((form for form in OUTPUT_FORMATS if form == ending), "jsonl")


def _write_parquet(batch: Batch, file: TextIO, *, failed: bool | None) -> None:
    # Arrow is large: an output of another format does not load it.
    from batches.output.parquet import parquet_pieces  # noqa: PLC0415 - takes long

    file.buffer.writelines(parquet_pieces(batch, failed=failed))


def check_outputs(options: Mapping[str, Any]) -> None:
    """Raise UsageError for an output that cannot be written, or that another name stands for."""
    taken: dict[str, str] = {}
    for name in ("input", "output", "errors"):
        file = options.get(name)
        if file is None or file == STANDARD_OUTPUT:
            continue
        if name != "input" and format_of_output(file) == "parquet":
            require("tables", "Parquet")
        try:
            if name != "input":
                check_writable(file)
            if is_special(file):
                continue
        except OSError as error:
            raise UsageError(str(error)) from error
        path = os.path.realpath(file)
        if path in taken:
            raise UsageError(f"{taken[path]} and {name} are the same file, {file}")
        if name != "input" and options.get("overwrite") is False and Path(path).exists():
            raise UsageError(f"{file} exists; name another file, or add --overwrite")
        taken[path] = name


def check_writable(name: str) -> None:
    """Raise OSError with the reason if a file of this name cannot be written."""
    if name == STANDARD_OUTPUT or is_special(name):
        return
    if name.lower().endswith(OTHER_ENDINGS):
        raise OSError(
            f"{name}: results are JSON lines (.jsonl), or a table if a name ends in .csv or "
            ".parquet"
        )
    path = Path(name).resolve()
    if path.is_dir():
        raise IsADirectoryError(f"{name} is a directory; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{name}: the folder {path.parent} cannot be written to")


def name_of(output: str) -> str:
    """Return the name of an output for messages."""
    return "standard output" if output == STANDARD_OUTPUT else output


@contextmanager
def written_to(names: Sequence[str], advice: str = "") -> Iterator[None]:
    """Raise UsageError with the advice if the block cannot write the outputs of these names."""
    try:
        with ended_by_reader():
            yield
    except OSError as error:
        if STANDARD_OUTPUT in names:
            discard_standard_output()
        reason = f"cannot write {' or '.join(map(name_of, names))}: {error.strerror or error}"
        raise UsageError(reason + advice) from error


def is_special(name: str) -> bool:
    """Return True for an existing pipe or device, not a file or folder. Raises OSError."""
    try:
        mode = Path(name).stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_file(name: str) -> bool:
    """Return True for a file, which exists or can be written; not for a pipe. Raises OSError."""
    return name != STANDARD_OUTPUT and not is_special(name)


@contextmanager
def opened_output(name: str) -> Iterator[TextIO]:
    """Open an output: a file is written atomically, a pipe or device directly."""
    if name == STANDARD_OUTPUT:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # As in files, whatever the locale has.
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        sys.stdout.flush()
    elif is_special(name):
        with Path(name).open("w", encoding="utf-8", newline="\n") as file:
            yield file
    else:
        # Replace the target of a symbolic link, not the link.
        with whole_file(Path(name).resolve()) as file:
            yield file


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Open a temporary file that gets its name when the block ends without an error."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; an output has the permissions of any other new file.
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
