"""Write answers in all forms, valid and invalid, that a post-processor must distinguish."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from simulator.answers import answer_for_schema, answer_text
from simulator.effects import AnswerForm
from simulator.schema_book import Json, Schema, SchemaBook, book_of

REFUSAL = "I'm sorry, I can't help with that."

Finish = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an answer: a text or a refusal, and the finish reason."""

    text: str | None
    refusal: str | None = None
    finish: Finish = "stop"


def content_for(form: AnswerForm, seed: int, prompt: str, schema: Schema | None) -> Content:
    """Return the answer to a prompt in this form. Raise CannotAnswer if none fits the schema."""
    if form == "refusal":
        return Content(None, refusal=REFUSAL)
    if form == "content_filter":
        return Content(None, finish="content_filter")
    if form == "empty":
        return Content("")
    text = _text(form, seed, prompt, schema)
    return Content(text[: len(text) // 2], finish="length") if form == "length" else Content(text)


def _text(form: AnswerForm, seed: int, prompt: str, schema: Schema | None) -> str:
    if schema is None or form == "not_json":
        return answer_text(seed, prompt)
    value = answer_for_schema(schema, f"{seed}/{prompt}")
    if form in {"wrong_type", "missing_field", "schema_violation"}:
        value = _violating(form, book_of(schema), value)
    return _wrapped(form, json.dumps(value, ensure_ascii=False))


def _wrapped(form: AnswerForm, text: str) -> str:
    if form == "fenced":
        return f"```json\n{text}\n```"
    if form == "prose":
        return f"Sure! Here is the JSON you asked for:\n\n{text}\n\nLet me know if it helps."
    if form == "trailing_comma":
        inside = text.endswith(("}", "]")) and text not in {"{}", "[]"}
        return f"{text[:-1]},{text[-1]}" if inside else f"{text},"
    return text


def _violating(form: AnswerForm, book: SchemaBook, value: Json) -> Json:
    """Return a similar value that the schema forbids; the same value if it allows everything."""
    for candidate in _candidates(form, value):
        if book.objection(candidate) is not None:
            return candidate
    return value


def _candidates(form: AnswerForm, value: Json) -> Iterator[Json]:
    properties = value if isinstance(value, dict) else {}
    if form != "wrong_type":
        for name in properties:
            yield {other: kept for other, kept in properties.items() if other != name}
    if form != "missing_field":
        for name, inner in properties.items():
            yield {**properties, name: _of_another_type(inner)}
    yield _of_another_type(value)
    yield from (None, "a violation", -1, [], {}, {"unexpected": True})


def _of_another_type(value: Json) -> Json:
    if isinstance(value, str):
        return 12345
    return "twelve" if isinstance(value, int | float) else "a wrong type"
