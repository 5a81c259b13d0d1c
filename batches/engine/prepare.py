"""Phase 1: a prompt becomes a request that is ready to send. Sequential, no I/O."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.records import Endpoint, Outcome, PreparedRequest, PromptSpec
from batches.engine.schemas import Schema, response_model

# Fields by which some gateways let a request choose its own destination or credentials.
FORBIDDEN_FIELDS = frozenset({"api_base", "api_key", "base_url", "extra_headers"})

# The field of a body that holds what is asked.
PAYLOAD: dict[Endpoint, str] = {
    "/v1/chat/completions": "messages",
    "/v1/responses": "input",
    "/v1/embeddings": "input",
}


def prepare_prompt_request(
    prompt: PromptSpec, *, endpoint: Endpoint, defaults: Mapping[str, Any]
) -> PreparedRequest | Outcome:
    """The request for a prompt, its body laid over the defaults; or the outcome of one rejected."""
    body = {**defaults, **prompt.body}
    try:
        check_body(body, endpoint)
        return PreparedRequest(
            index=prompt.index,
            custom_id=prompt.custom_id,
            endpoint=endpoint,
            content=_content(body),
            response_model=_response_model(body, endpoint),
        )
    except PromptRejected as error:
        return rejected(prompt, error)


def prompt_body(prompt: str, endpoint: Endpoint) -> dict[str, Any]:
    """The request body that asks this text."""
    if endpoint == "/v1/chat/completions":
        return {"messages": [{"role": "user", "content": prompt}]}
    return {PAYLOAD[endpoint]: prompt}


def rejected(prompt: PromptSpec, error: PromptRejected) -> Outcome:
    """The outcome of a prompt that cannot be prepared."""
    return Outcome(
        index=prompt.index,
        custom_id=prompt.custom_id,
        status="failed",
        kind=FailureKind.REJECTED,
        code=error.code,
        message=f"{error.param}: {error.message}",
    )


def check_body(body: Mapping[str, Any], endpoint: Endpoint) -> None:
    """Raise PromptRejected for a body that no provider should get."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise PromptRejected(
            "name a model in the prompt or for the whole batch",
            param="body.model",
            code="missing_required_parameter",
        )
    payload = PAYLOAD[endpoint]
    if not body.get(payload):
        raise PromptRejected(
            f"{endpoint} needs it", param=f"body.{payload}", code="missing_required_parameter"
        )
    if payload == "messages" and not _are_messages(body[payload]):
        raise PromptRejected("give a list of messages", param="body.messages", code="invalid_type")
    if body.get("stream"):
        raise PromptRejected(
            "a batch cannot stream", param="body.stream", code="streaming_unsupported"
        )
    for field in FORBIDDEN_FIELDS & body.keys():
        raise PromptRejected("a prompt cannot choose where it is sent", param=f"body.{field}")


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)


def with_response_schema(
    defaults: Mapping[str, Any], *, endpoint: Endpoint, schema: Schema, name: str = "response"
) -> dict[str, Any]:
    """The defaults, with every answer asked for in this schema. Raises PromptRejected."""
    response_model(schema)
    described = {"name": name, "schema": schema}
    if endpoint == "/v1/chat/completions":
        return {**defaults, "response_format": {"type": "json_schema", "json_schema": described}}
    if endpoint == "/v1/responses":
        return {**defaults, "text": {"format": {"type": "json_schema", **described}}}
    raise PromptRejected(f"{endpoint} gives no answers that a schema could fit", param="schema")


def extract_schema(body: Mapping[str, Any], endpoint: Endpoint) -> Schema | None:
    """The JSON Schema that a body asks its answer to fit, if any. Raises PromptRejected."""
    if endpoint == "/v1/chat/completions":
        form = body.get("response_format")
        described = form.get("json_schema") if isinstance(form, dict) else None
        param = "response_format.json_schema.schema"
    else:
        text = body.get("text") if endpoint == "/v1/responses" else None
        form = described = text.get("format") if isinstance(text, dict) else None
        param = "text.format.schema"
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict | bool):
        raise PromptRejected("give a JSON Schema", param=param)
    return schema


def _response_model(body: Mapping[str, Any], endpoint: Endpoint) -> type[BaseModel] | None:
    schema = extract_schema(body, endpoint)
    return None if schema is None else response_model(schema)


def _content(body: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptRejected(f"cannot be sent as JSON: {error}", param="body") from error
