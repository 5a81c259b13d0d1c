"""Read single fields of a reply, in all forms that providers use."""

import json
from typing import Any

MAX_REASON_CHARS = 64
MAX_DEPTH = 4

# Types of the parts of an answer that hold its text; reasoning models add other parts.
TEXT_PARTS = frozenset({"text", "output_text"})
# Fields that a part without a type may have.
_FIELDS = frozenset({"type", "text", "refusal", "annotations", "logprobs", "index", "id"})
_REASONS = ("type", "reason", "finish_reason", "name", "value", "code", "message")


class Notes(list[str]):
    """Notes about oddities of a reply, each once, in the order in which they were found."""

    def add(self, note: str) -> None:
        if note not in self:
            self.append(note)


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, for a note."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def answer_text(content: Any, notes: Notes) -> str | None:
    """Return the text of an answer; None if there is none.

    The text is a string, or parts of a list that may also hold the model's thoughts, or the JSON
    value itself.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and (not content or any(map(_is_part, content))):
        texts = [text for part in content if (text := _part_text(part)) is not None]
        return "".join(texts) if texts else None
    if isinstance(content, dict) and _is_part(content):
        return _part_text(content)
    if isinstance(content, dict) and isinstance(content.get("parts"), list):
        return answer_text(content["parts"], notes)
    notes.add(f"content was {kind_of(content)}; its JSON is used as the answer")
    return json.dumps(content, ensure_ascii=False)


def _is_part(value: Any) -> bool:
    if isinstance(value, str):
        return True
    if not isinstance(value, dict):
        return False
    has_text = _text_of(value) is not None or "refusal" in value
    return isinstance(value.get("type"), str) or (value.keys() <= _FIELDS and has_text)


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in TEXT_PARTS:
        return None
    return _text_of(part)


def _text_of(part: dict[str, Any]) -> str | None:
    text = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else None


def refusal_text(value: Any) -> str | None:
    """Return the model's refusal; None if the model did not refuse."""
    if isinstance(value, list):
        return next(filter(None, map(refusal_text, value)), None)
    if isinstance(value, dict):
        texts = (value.get(name) for name in ("refusal", "message", "text", "reason"))
        return next((text for text in texts if isinstance(text, str) and text), None)
    if isinstance(value, str):
        return value or None
    return "no reason given" if value is True else None


def refusal_in(content: Any) -> str | None:
    """Return the refusal among the parts of an answer."""
    parts = content if isinstance(content, list) else [content]
    found = (part.get("refusal") for part in parts if isinstance(part, dict))
    return next(filter(None, map(refusal_text, found)), None)


def reason_text(value: Any, notes: Notes, *, depth: int = MAX_DEPTH) -> str:
    """Return the finish reason as text, from any form; "" if there is none."""
    if isinstance(value, str):
        return value[:MAX_REASON_CHARS]
    if value is None or isinstance(value, bool) or not depth:
        return ""
    notes.add(f"finish_reason was {kind_of(value)}")
    if isinstance(value, dict):
        named = [value[name] for name in _REASONS if name in value]
        value = named or list(value.values())
    if isinstance(value, list):
        return next(filter(None, (reason_text(one, notes, depth=depth - 1) for one in value)), "")
    return str(value)[:MAX_REASON_CHARS]


def usage_in(body: dict[str, Any]) -> Any:
    """Return the usage in a body, under any of its names; None if there is none."""
    groq = body.get("x_groq")
    places = (body, groq if isinstance(groq, dict) else {})
    names = ("usage", "usageMetadata", "usage_metadata")
    found = (place[name] for name in names for place in places if place.get(name) is not None)
    return next(found, None)
