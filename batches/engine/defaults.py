"""The default fields of a batch: they lie under the body of every prompt.

The system prompt of a batch is one of them, stored once however many prompts there are. For a chat
it is a message, which goes before the messages of each prompt.
"""

from collections.abc import Mapping
from typing import Any

from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.text.sendable import text_fault

# The code of an error that all prompts of a batch have, since its fields are at fault.
SET_TWICE = "field_set_twice"
# The roles of a system prompt; the second is the newer name of the first.
SYSTEM_ROLES = ("system", "developer")


def own_fields(defaults: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a prompt with the system prompt of the defaults before its messages.

    A prompt that has a system prompt of its own keeps it.
    """
    leading = defaults.get("messages")
    messages = body.get("messages")
    if not leading or not _are_system(leading) or not isinstance(messages, list):
        return body
    # Without a message of its own a prompt is empty, and fails.
    if not messages or _are_system(messages[:1]):
        return body
    return {**body, "messages": [*leading, *messages]}


def whole_body(defaults: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a prompt with the defaults: a field of the prompt wins."""
    return {**defaults, **own_fields(defaults, body)}


def with_system_prompt(defaults: Mapping[str, Any], text: str, *, endpoint: str) -> dict[str, Any]:
    """Return the defaults with a system prompt. Raise PromptRejected if the endpoint has none."""
    place = rules_of(endpoint).system_in
    if place is None:
        message = f"A system prompt cannot be used with {endpoint}."
        raise PromptRejected(message, param="system")
    if place in defaults:
        message = f"Give either '{place}' or a system prompt, not both."
        raise PromptRejected(message, param=f"body.{place}")
    if fault := text_fault(text, allow_nul=False):
        raise PromptRejected(f"The system prompt {fault}", param="system")
    is_message = place == "messages"
    return {**defaults, place: [{"role": "system", "content": text}] if is_message else text}


def without_system_prompt(
    defaults: Mapping[str, Any], *, endpoint: str
) -> tuple[dict[str, Any], str]:
    """Return the defaults without the system prompt, and its text; what `with_system_prompt` made.

    Other messages of the defaults stay where they are.
    """
    place = rules_of(endpoint).system_in or ""
    text = defaults.get(place)
    if place == "messages":
        text = _text_of(text)
    if not isinstance(text, str):
        return dict(defaults), ""
    return {name: value for name, value in defaults.items() if name != place}, text


def _text_of(messages: object) -> object:
    """Return the text of a single system message; None if there is anything else."""
    first = messages[0] if isinstance(messages, list) and messages else None
    text = first.get("content") if isinstance(first, dict) else None
    return text if messages == [{"role": "system", "content": text}] else None


def check_prompt_free(defaults: Mapping[str, Any], endpoint: str) -> None:
    """Raise PromptRejected if the defaults have the field that each text prompt goes into."""
    field = rules_of(endpoint).asked_in
    if field is None or field not in defaults:
        return
    if field == "messages" and _are_system(defaults[field]):
        return
    hint = " Use the system prompt for what all have in common." if field != "prompt" else ""
    message = f"'body.{field}' is set by each prompt, so a default for it is never sent.{hint}"
    raise PromptRejected(message, param=f"body.{field}", code=SET_TWICE)


def _are_system(messages: object) -> bool:
    return isinstance(messages, list) and all(
        isinstance(one, dict) and one.get("role") in SYSTEM_ROLES for one in messages
    )
