"""The rules of ADR 4 that the import contracts cannot hold."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
SHARED = {
    *("apps", "bulk", "checks", "conf", "database", "django_tasks", "errors", "extras"),
    *("formats", "lifecycle", "signals", "stop_signal", "tasks", "users"),
}
MOST_MODULES = 16
PACKAGES = sorted(
    init.parent for init in ROOT.glob("batches/**/__init__.py") if init.parent.name != "migrations"
)
TOPS = ("batches", "benchmarks", "config", "examples", "simulator", "tests")
EXCEPTION = re.compile(r"# (?:noqa: [A-Z0-9]+|type: ignore\[[\w, -]+\])\s*$")
NO_LOGIC = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)


def modules_in(package: Path) -> set[str]:
    return {module.stem for module in package.glob("*.py")} - {"__init__"}


def test_batches_itself_holds_only_what_packages_share() -> None:
    assert modules_in(ROOT / "batches") == SHARED


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_is_small_and_its_init_holds_no_logic(package: Path) -> None:
    assert len(modules_in(package)) <= MOST_MODULES
    statements = ast.parse((package / "__init__.py").read_text()).body
    assert all(isinstance(statement, NO_LOGIC) for statement in statements)


def test_a_reader_is_told_where_to_change_fifteen_things_or_more() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## Where do I change")[1]
    assert len(re.findall(r"^\| .*\]\(batches/", table, re.MULTILINE)) >= 15


def test_every_exception_from_a_rule_has_a_reason() -> None:
    sources = [*ROOT.glob("*.py"), *(p for top in TOPS for p in ROOT.glob(f"{top}/**/*.py"))]
    without = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if EXCEPTION.search(line)
    ]
    assert without == []


def test_a_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = {}
    for path in ROOT.glob("batches/**/*.py"):
        # Django finds a command and a migration by the name of its class.
        if {"migrations", "commands"}.isdisjoint(path.parts):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
