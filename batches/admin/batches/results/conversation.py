"""Show stored requests and replies as conversations; the JSON may have any form.

Nothing here is HTML. The templates escape everything; a link that a model wrote is text.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from batches.engine.endpoints import ReplyForm, rules_of

# Characters shown of a file within a request, and of the description of an image.
SNIPPET_CHARS = 160
MOST_OF_A_FILE = 100
LONGEST_OF_AN_IMAGE = 2000
MOST_IMAGES = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a turn: a text, or JSON as indented text."""

    text: str
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A message of one side of the conversation."""

    role: str
    parts: list[Part]


def asked(body: dict[str, Any], endpoint: str) -> list[ShownTurn]:
    """Return the messages of a request."""
    rules = rules_of(endpoint)
    given = body.get(rules.asked_in) if rules.asked_in else body
    first = (
        [ShownTurn("instructions", _parts(body["instructions"]))] if "instructions" in body else []
    )
    if rules.schema and isinstance(given, list) and all(isinstance(one, dict) for one in given):
        return [*first, *(_turn(message) for message in given)]
    return [*first, ShownTurn("user", _parts(given))]


def parameters(body: dict[str, Any], endpoint: str) -> str:
    """Return the fields of a request other than its prompt, as JSON."""
    asked_in = rules_of(endpoint).asked_in
    shown = {asked_in, "instructions"} if asked_in else body.keys()
    return _json({name: value for name, value in body.items() if name not in shown})


def answered(body: str, endpoint: str) -> list[ShownTurn]:
    """Return the messages of a reply, or the whole body if it has no known form."""
    try:
        reply = json.loads(body)
        turns = list(_TURNS[rules_of(endpoint).reply](reply))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        turns = []
    return turns or [ShownTurn("reply", [Part(indented(body), is_json=True)])]


def snippet(turns: list[ShownTurn]) -> str:
    """Return the beginning of the last message, in one line."""
    text = " ".join(part.text for part in turns[-1].parts) if turns else ""
    line = " ".join(text[: 4 * SNIPPET_CHARS].split())
    return line if len(line) <= SNIPPET_CHARS else f"{line[: SNIPPET_CHARS - 1]}…"


def indented(text: str) -> str:
    """Indent a text that is JSON; return any other text unchanged."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _turn(message: dict[str, Any]) -> ShownTurn:
    """Convert a message of a chat or an item of a response."""
    content = message.get("content")
    calls = message.get("tool_calls") or []
    parts = _parts(content) if content is not None else []
    parts += [Part(_json(call), is_json=True) for call in calls if isinstance(calls, list)]
    if message.get("refusal"):
        parts.append(Part(str(message["refusal"])))
    if not parts:
        parts = [Part(_json(message), is_json=True)]
    return ShownTurn(str(message.get("role") or message.get("type") or "message"), parts)


def _parts(content: Any) -> list[Part]:
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        return [_part(one) for one in content]
    return [_text(content)]


def _part(part: dict[str, Any]) -> Part:
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return _text(part[name])
    return Part(_json(part), is_json=True)


def _text(value: Any) -> Part:
    """Convert a value to a part; a text that is JSON is indented."""
    if not isinstance(value, str):
        return Part(_json(value), is_json=True)
    if value.lstrip()[:1] in {"{", "["}:
        pretty = indented(value)
        return Part(pretty, is_json=pretty != value)
    return Part(value)


def _json(value: Any) -> str:
    return json.dumps(_without_files(value), indent=2, ensure_ascii=False)


def _without_files(value: Any) -> Any:
    """Return a value in which embedded files are cut to their beginning and length."""
    if isinstance(value, str) and value.startswith("data:") and len(value) > MOST_OF_A_FILE:
        return f"{value[:MOST_OF_A_FILE]}… ({len(value)} characters)"
    if isinstance(value, list):
        return [_without_files(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_files(one) for name, one in value.items()}
    return value


def _chat(reply: dict[str, Any]) -> Iterator[ShownTurn]:
    for choice in reply["choices"]:
        if "message" in choice:
            yield _turn(choice["message"])
        else:
            yield ShownTurn("completion", [_text(choice["text"])])


def _response(reply: dict[str, Any]) -> Iterator[ShownTurn]:
    for item in reply["output"]:
        yield _turn(item)


def _embeddings(reply: dict[str, Any]) -> Iterator[ShownTurn]:
    for one in reply["data"]:
        vector = one["embedding"]
        shown = ", ".join(map(str, vector[:8])) if isinstance(vector, list) else str(vector)[:64]
        yield ShownTurn("embedding", [Part(f"{len(vector)} numbers: {shown}, …")])


def _moderation(reply: dict[str, Any]) -> Iterator[ShownTurn]:
    for one in reply["results"]:
        found = [name for name, is_so in one["categories"].items() if is_so]
        said = f"flagged: {', '.join(found)}" if one["flagged"] else "not flagged"
        yield ShownTurn("moderation", [Part(said), Part(_json(one), is_json=True)])


def _images(reply: dict[str, Any]) -> Iterator[ShownTurn]:
    for one in reply["data"][:MOST_IMAGES]:
        file = one.get("b64_json")
        shown = f"{len(file)} characters of base64" if isinstance(file, str) else str(one["url"])
        texts = (shown, one.get("revised_prompt"))
        yield ShownTurn("image", [Part(text[:LONGEST_OF_AN_IMAGE]) for text in texts if text])


def _as_json(reply: Any) -> Iterator[ShownTurn]:
    yield ShownTurn("reply", [Part(_json(reply), is_json=True)])


_TURNS: dict[ReplyForm, Callable[[Any], Iterator[ShownTurn]]] = {
    "chat": _chat,
    "response": _response,
    "embeddings": _embeddings,
    "moderation": _moderation,
    "images": _images,
    "video": _as_json,
    "json": _as_json,
}
