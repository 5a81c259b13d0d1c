"""The wheel and what it needs, installed once; and environments that have only a part of that."""

import subprocess
import venv
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.environment import unmeasured
from tests.host.projects import ROOT

UP = ".."


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program, which must succeed; return what it wrote."""
    ended = subprocess.run(
        command, cwd=cwd, env=unmeasured(), text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


class Installation:
    """A new environment into which pip has installed some requirements."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        venv.create(folder, with_pip=True)
        self._folder = folder
        pip = (str(folder / "bin" / "python"), "-m", "pip")
        run(*pip, "install", "--quiet", "--no-compile", *requirements)
        run(*pip, "check")
        self._site = _site(folder)
        found = distributions(path=[str(self._site)])
        self._found = {canonicalize_name(one.name): one for one in found}

    def only(self, folder: Path, *requirements: str) -> str:
        """Return the Python of a new environment with these requirements and what they need.

        As pip would install them, but in a tenth of a second: the packages are links.
        """
        venv.create(folder)
        for distribution in self._needed(requirements):
            self._link(distribution, folder)
        return str(folder / "bin" / "python")

    def _needed(self, requirements: Iterable[str]) -> Iterator[Distribution]:
        wanted: dict[NormalizedName, set[str]] = {}
        waiting = [Requirement(text) for text in requirements]
        while waiting:
            one = waiting.pop()
            name = canonicalize_name(one.name)
            if {"", *one.extras} <= wanted.get(name, set()):
                continue
            found = self._found[name]
            assert one.specifier.contains(found.version, prereleases=True), (
                f"{one}: {found.version}"
            )
            assert one.extras <= set(found.metadata.get_all("Provides-Extra") or ()), one
            extras = wanted.setdefault(name, {""})
            extras |= one.extras
            waiting += [
                needed
                for needed in map(Requirement, found.requires or ())
                if needed.marker is None
                or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
            ]
        return (self._found[name] for name in wanted)

    def _link(self, distribution: Distribution, folder: Path) -> None:
        files = distribution.files or ()
        for name in {file.parts[0] for file in files} - {UP, "__pycache__"}:
            if not (link := _site(folder) / name).exists():
                link.symlink_to(self._site / name)
        for file in files:
            if file.parts[0] == UP and file.parts[-2] == "bin":
                text = (self._folder / "bin" / file.name).read_text()
                script = folder / "bin" / file.name
                script.write_text(text.replace(str(self._folder), str(folder)))
                script.chmod(0o755)


def _site(folder: Path) -> Path:
    [site] = folder.glob("lib/python*/site-packages")
    return site
