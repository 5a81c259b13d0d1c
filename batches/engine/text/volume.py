"""Estimate the tokens that a model reads and writes, if the provider has not counted them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from batches.engine.endpoints import rules_of

CHARS_PER_TOKEN = 4
# The role of a message and its end token.
CHARS_PER_MESSAGE = 4 * CHARS_PER_TOKEN

# Fields with the texts of a message; a picture is not a text.
_PARTS = frozenset({"content", "text", "tool_calls", "function", "name", "arguments", "output"})


def tokens_read(content: bytes, endpoint: str) -> int:
    """Return the estimated input tokens of a request; 0 for no request."""
    return _tokens(sum(chars_by_field(from_json(content), endpoint).values())) if content else 0


def tokens_written(text: str) -> int:
    """Return the estimated tokens of a text."""
    return _tokens(len(text))


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def chars_by_field(body: Mapping[str, Any], endpoint: str) -> dict[str, int]:
    """Return the number of characters in each field that a model reads."""
    rules = rules_of(endpoint)
    if rules.texts is None:
        return {name: _all_chars(value) for name, value in body.items() if name != "model"}
    read = {name: _chars(body[name]) for name in rules.texts if name in body}
    if rules.schema and "tools" in body:
        read["tools"] = len(json.dumps(body["tools"]))
    return read


def _chars(value: Any) -> int:
    """Return the number of characters of the texts in a value; a number is a token id."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_chars, value))
    if isinstance(value, dict):
        own = CHARS_PER_MESSAGE if "role" in value else 0
        return own + sum([_chars(value[name]) for name in value if name in _PARTS])
    return CHARS_PER_TOKEN if isinstance(value, int) else 0


def _all_chars(value: Any) -> int:
    """Return the number of characters of all texts in a value, without attached files."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_all_chars, value)) if isinstance(value, list) else 0
