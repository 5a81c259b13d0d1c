"""The table of endpoints: which field holds the prompt, and how a reply is read.

All code that depends on the endpoint of a batch reads this table. Staff may allow further paths on
a provider (`OTHER`): requests and replies of such a path are passed through as JSON, and a reply
is judged by its status.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Path = tuple[str | int, ...]
# The format of a reply; `batches.engine.replies.dialects` has a reader for each.
ReplyForm = Literal["chat", "response", "embeddings", "moderation", "images", "video", "json"]

MAX_PATH_CHARS = 64


@dataclass(frozen=True, slots=True)
class SchemaPlace:
    """The place in a body where it asks for an answer that fits a JSON Schema, or offers tools.

    `is_nested`: the schema and each function are nested in an object of their own at that place.
    """

    at: tuple[str, ...]
    is_nested: bool


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """The rules of an endpoint.

    asked_in        field that holds the prompt; None: any JSON object is a valid request
    system_in       field that holds the system prompt; None: there is none
    reply           format of a reply
    texts           fields whose text the model reads; None: all fields
    kinds           JSON types that fields may have; other fields may have any type
    schema          place of the response schema and the tools; None: not supported
    answers_in_text a model writes text, whose tokens are estimated if the provider counts none
    counts_tokens   usage is in tokens; else only tokens that a reply reports are counted
    needs_model     a body must name a model
    shows_body      the JSON of a reply is shown to a reader as its answer
    can_defer       `background: true` asks for a later answer, which a batch does not wait for
    """

    asked_in: str | None
    reply: ReplyForm
    texts: tuple[str, ...] | None
    system_in: str | None = None
    kinds: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    schema: SchemaPlace | None = None
    answers_in_text: bool = False
    counts_tokens: bool = True
    needs_model: bool = False
    shows_body: bool = False
    can_defer: bool = True


_TEXT_OR_LIST = (str, list)

RULES: Mapping[str, EndpointRules] = {
    "/v1/chat/completions": EndpointRules(
        asked_in="messages",
        system_in="messages",
        reply="chat",
        texts=("messages",),
        kinds={"messages": (list,)},
        schema=SchemaPlace(("response_format",), is_nested=True),
        answers_in_text=True,
        needs_model=True,
    ),
    "/v1/responses": EndpointRules(
        asked_in="input",
        system_in="instructions",
        reply="response",
        texts=("input", "instructions"),
        schema=SchemaPlace(("text", "format"), is_nested=False),
        answers_in_text=True,
        needs_model=True,
    ),
    "/v1/embeddings": EndpointRules(
        asked_in="input",
        reply="embeddings",
        texts=("input",),
        needs_model=True,
    ),
    "/v1/completions": EndpointRules(
        asked_in="prompt",
        # A choice has a text where a choice of a chat has a message.
        reply="chat",
        texts=("prompt", "suffix"),
        kinds={"prompt": _TEXT_OR_LIST},
        answers_in_text=True,
        needs_model=True,
    ),
    "/v1/moderations": EndpointRules(
        asked_in="input",
        reply="moderation",
        texts=("input",),
        kinds={"input": _TEXT_OR_LIST},
        counts_tokens=False,
        shows_body=True,
    ),
    "/v1/images/generations": EndpointRules(
        asked_in="prompt",
        reply="images",
        texts=("prompt",),
        kinds={"prompt": (str,)},
        can_defer=False,
    ),
    "/v1/images/edits": EndpointRules(
        asked_in="prompt",
        reply="images",
        texts=("prompt",),
        kinds={"prompt": (str,)},
        can_defer=False,
    ),
    "/v1/videos": EndpointRules(
        asked_in="prompt",
        reply="video",
        texts=("prompt",),
        kinds={"prompt": (str,), "input_reference": (dict,)},
        # Videos are billed by the second.
        counts_tokens=False,
        shows_body=True,
    ),
}
OTHER = EndpointRules(asked_in=None, reply="json", texts=None, shows_body=True, can_defer=False)

ENDPOINTS = tuple(RULES)
CHAT = ENDPOINTS[0]

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = re.compile(rf"/v1(?:/{_SEGMENT})+", re.ASCII)


def rules_of(endpoint: str) -> EndpointRules:
    """Return the rules of an endpoint; OTHER for a path that is not in the table."""
    return RULES.get(endpoint, OTHER)


def check_path(path: str) -> None:
    """Raise ValueError for a text that cannot be the path of an endpoint."""
    if len(path) > MAX_PATH_CHARS or not _PATH.fullmatch(path):
        raise ValueError(
            f"{path[:100]!r} is not the path of an endpoint; write it like /v1/rerank: /v1/ and "
            "then letters, digits, '.', '_' and '-' between slashes, "
            f"at most {MAX_PATH_CHARS} characters"
        )


def endpoint_of(path: str) -> str:
    """Return the endpoint of a path; the version may be missing, as on Azure."""
    name = "/" + path.strip().strip("/").removeprefix("openai/")
    return name if name.startswith("/v1/") else f"/v1{name}"
