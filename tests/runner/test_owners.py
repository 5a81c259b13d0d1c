"""No object of the runner is changed by another: each attribute is assigned by its owner."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
SOURCES = sorted(ROOT.glob("batches/runner/**/*.py"))
# A class may change itself in methods of these names; `cls` is the class of the owner.
OWNERS = {"self", "cls"}
# Methods that change a list, a set, a dict or a deque.
CHANGING = {
    *("append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"),
    *("remove", "reverse", "setdefault", "sort"),
}


def changed(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield each expression that the code assigns to, deletes, or changes as a collection."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                yield from targets
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                yield target
            case ast.For(target=target) | ast.AsyncFor(target=target):
                yield target
            case ast.withitem(optional_vars=ast.expr() as target):
                yield target
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in CHANGING:
                yield value
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[value, *_]):
                yield ast.Attribute(value, "any", ast.Store())


def parts(target: ast.expr) -> Iterator[ast.expr]:
    """Yield what is changed: the names of a tuple, and the collection of an item."""
    match target:
        case ast.Tuple(elts=several) | ast.List(elts=several):
            for each in several:
                yield from parts(each)
        case ast.Subscript(value=value) | ast.Starred(value=value):
            yield from parts(value)
        case _:
            yield target


def intrusions(source: str) -> list[str]:
    """Return the attributes of other objects that a module changes."""
    return [
        ast.unparse(part)
        for target in changed(ast.parse(source))
        for part in parts(target)
        if isinstance(part, ast.Attribute)
        and not (isinstance(part.value, ast.Name) and part.value.id in OWNERS)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_changes_an_attribute_of_another_object(path: Path) -> None:
    assert intrusions(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "self.store.stop = 1",
        "self._store.sent += 1",
        "a, (chunk.open, b) = 1, (2, 3)",
        "del chunk.unread[0]",
        "chunk.unread[0]['a'] = 1",
        "chunk.prompts.popleft()",
        "self.held.chunks.append(1)",
        "pieces.lost: set[int] = set()",
        "for pieces.row in rows: pass",
        "with lock as self.store.lock: pass",
        "setattr(chunk, 'open', 1)",
    ],
)
def test_the_test_finds_it(line: str) -> None:
    assert len(intrusions(line)) == 1


@pytest.mark.parametrize("line", ["self._sent += 1", "self._sent[0] = 1", "found[0].x.y()"])
def test_an_owner_may_change_itself(line: str) -> None:
    assert intrusions(line) == []
