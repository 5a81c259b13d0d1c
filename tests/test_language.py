"""The words that CONTRIBUTING.md bans, counted where a person reads them."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
# The count may only be lowered.
MOST = 2
BANNED = re.compile(
    r"\b(?:whoever|whatever it is|nobody|anybody|somebody|those|what came of|so many|so often|told"
    r"|puts? up with|kept to by|of ours|by then|beforehand|goes? on with|has to be there"
    r"|as it came|do without|is no (?:number|text|list|url|path|amount))\b",
    re.IGNORECASE,
)
# A docstring begins with a verb, or with the noun that a module or class is about.
FIRST_WORDS = re.compile(r"(?:What|Who|Whose|Whether|How|That|Those|These|Where|Which|Of)\b")
SOURCES = sorted(
    path
    for pattern in ("batches/**/*.py", "simulator/**/*.py", "config/**/*.py")
    for path in ROOT.glob(pattern)
    if "migrations" not in path.parts
)
PAGES = sorted(
    [*ROOT.glob("batches/templates/**/*.html"), *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)


def documented(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each docstring with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each string that holds more than one word: docstrings, help, messages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def faults() -> Iterator[str]:
    """Yield the place of each banned word."""
    for path in SOURCES:
        source = path.read_text()
        tree = ast.parse(source)
        name = path.relative_to(ROOT)
        for line, text in [*strings(tree), *comments(source)]:
            yield from (f"{name}:{line}: {word[0]}" for word in BANNED.finditer(text))
        for line, text in documented(tree):
            if first := FIRST_WORDS.match(text):
                yield f"{name}:{line}: begins with {first[0]}"
    for path in PAGES:
        for line, text in enumerate(path.read_text().splitlines(), 1):
            yield from (
                f"{path.relative_to(ROOT)}:{line}: {word[0]}" for word in BANNED.finditer(text)
            )


def test_banned_words_become_fewer() -> None:
    found = list(faults())
    assert len(found) <= MOST, "\n".join(found)
