"""Make request bodies of the messages of a template, as their endpoint wants them."""

from collections.abc import Mapping, Sequence
from typing import Any

from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import SET_TWICE, prompt_body

TEMPLATE = "template"


def check_roles(roles: Sequence[str], endpoint: str, defaults: Mapping[str, Any]) -> None:
    """Raise PromptRejected for a template that the endpoint or the default fields rule out."""
    # Refuses an endpoint that takes no text, and defaults that would be lost.
    prompt_body("", endpoint, defaults)
    rules = rules_of(endpoint)
    if rules.system_in is None and list(roles) != ["user"]:
        raise PromptRejected(
            f"A request to {endpoint} is one text: the template needs one user message and nothing "
            "else.",
            param=TEMPLATE,
        )
    if roles[0] == "system" and rules.system_in in defaults:
        raise PromptRejected(
            f"The system prompt is given twice: by the template and by 'body.{rules.system_in}'. "
            "Give it once.",
            param=TEMPLATE,
            code=SET_TWICE,
        )


def templated_body(messages: list[dict[str, Any]], endpoint: str) -> dict[str, Any]:
    """Return the body of a request with these messages, for an endpoint that takes text."""
    field = rules_of(endpoint).asked_in or ""
    if field == "messages":
        return {field: messages}
    body: dict[str, Any] = {}
    if messages[0]["role"] == "system":
        body[rules_of(endpoint).system_in or ""] = messages[0]["content"]
        messages = messages[1:]
    is_text = len(messages) == 1 and isinstance(messages[0]["content"], str)
    is_text = is_text and messages[0]["role"] == "user"
    # Some servers want the type of each item.
    items = [{"type": "message", **message} for message in messages]
    return {**body, field: messages[0]["content"] if is_text else items}
