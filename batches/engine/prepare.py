"""Phase 1: a prompt becomes a request that is ready to send. Sequential, no I/O."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from batches.engine.asked import (
    AskedSchema,
    asked_schemas,
    tool_names,
    with_strict_form,
)
from batches.engine.classes import class_model, type_name
from batches.engine.endpoints import EndpointRules, rules_of
from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.keywords import Schema
from batches.engine.known_schemas import KnownSchemas
from batches.engine.records import MAX_TOKENS, Outcome, PreparedRequest, PromptSpec
from batches.engine.schemas import response_model, schema_of
from batches.engine.strict import StrictProblem
from batches.engine.strict_form import strict_form
from batches.engine.tool_choice import NO_TOOLS, tool_demand

# Fields by which some gateways let a request choose its own destination or credentials.
FORBIDDEN_FIELDS = frozenset({"api_base", "api_key", "base_url", "extra_headers"})

# What a type of JSON is called in a message to a user.
_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}


def prepare_prompt_request(
    prompt: PromptSpec,
    *,
    endpoint: str,
    defaults: Mapping[str, Any],
    strict_schemas: bool = False,
    known: KnownSchemas | None = None,
) -> PreparedRequest | Outcome:
    """The request for a prompt, its body laid over the defaults; or the outcome of one rejected.

    With `strict_schemas` the provider is sent each schema in the form of its strict mode; answers
    are checked against the schema as it was given all the same. `known` are the schemas of the
    defaults, where there are many prompts.
    """
    body = {**defaults, **prompt.body}
    known = known or KnownSchemas(defaults, endpoint)
    try:
        check_body(body, endpoint, known)
        asked = asked_schemas(body, endpoint)
        return PreparedRequest(
            index=prompt.index,
            custom_id=prompt.custom_id,
            endpoint=endpoint,
            content=_content(_strict_body(body, asked, known) if strict_schemas else body),
            response_model=next((known.model_of(one) for one in asked if one.tool is None), None),
            tool_models=_tool_models(body, endpoint, asked, known),
            optional_as_null=strict_schemas,
            model=body.get("model") or "",
            max_output_tokens=_max_output_tokens(body),
            tools=tool_demand(body) if rules_of(endpoint).schema else NO_TOOLS,
        )
    except PromptRejected as error:
        return rejected(prompt, error)


def _max_output_tokens(body: Mapping[str, Any]) -> int | None:
    """The longest answer that a body allows, in the dialect of any endpoint."""
    for field in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        most = body.get(field)
        if isinstance(most, int) and most > 0:
            return min(most, MAX_TOKENS)
    return None


def _tool_models(
    body: Mapping[str, Any],
    endpoint: str,
    asked: Sequence[AskedSchema],
    known: KnownSchemas,
) -> dict[str, type[BaseModel] | None]:
    """The models of the tools, if any of them is strict."""
    strict = {one.tool: known.model_of(one) for one in asked if one.tool is not None}
    return {name: strict.get(name) for name in tool_names(body, endpoint)} if strict else {}


def _strict_body(
    body: Mapping[str, Any], asked: Sequence[AskedSchema], known: KnownSchemas
) -> Mapping[str, Any]:
    for one in asked:
        body = with_strict_form(body, one, known.strict_form_of(one))
    return body


def prompt_body(prompt: str, endpoint: str) -> dict[str, Any]:
    """Return the request body that asks this text. Raise PromptRejected if no field takes one."""
    field = rules_of(endpoint).asked_in
    if field is None:
        raise PromptRejected(
            f"a text alone is no request to {endpoint}: give each request as a JSON object",
            param="body",
        )
    if field == "messages":
        return {"messages": [{"role": "user", "content": prompt}]}
    return {field: prompt}


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


def check_body(body: Mapping[str, Any], endpoint: str, known: KnownSchemas | None = None) -> None:
    """Raise PromptRejected for a body that no provider should get."""
    rules = rules_of(endpoint)
    _check_model(body, rules)
    _check_asked(body, endpoint, rules)
    if body.get("stream"):
        raise PromptRejected(
            "a batch cannot stream", param="body.stream", code="streaming_unsupported"
        )
    if rules.can_defer and body.get("background"):
        given = json.dumps(body["background"], default=str)[:40]
        raise PromptRejected(
            f"{given} is not supported in a batch: leave it out or give false",
            param="body.background",
            code="unsupported_value",
        )
    for field in FORBIDDEN_FIELDS & body.keys():
        raise PromptRejected("a prompt cannot choose where it is sent", param=f"body.{field}")
    for asked in asked_schemas(body, endpoint):
        if known is None:
            asked.model()
        else:
            known.model_of(asked)


def _check_model(body: Mapping[str, Any], rules: EndpointRules) -> None:
    model = body.get("model")
    if model is None and not rules.needs_model:
        return
    if not isinstance(model, str) or not model:
        raise PromptRejected(
            "name a model in the prompt or for the whole batch",
            param="body.model",
            code="missing_required_parameter",
        )


def _check_asked(body: Mapping[str, Any], endpoint: str, rules: EndpointRules) -> None:
    """Raise PromptRejected for a body that asks nothing, or in no way that the endpoint knows."""
    asked_in = rules.asked_in
    if asked_in is not None and not body.get(asked_in):
        raise PromptRejected(
            f"{endpoint} needs it", param=f"body.{asked_in}", code="missing_required_parameter"
        )
    if asked_in == "messages" and not _are_messages(body[asked_in]):
        raise PromptRejected("give a list of messages", param="body.messages", code="invalid_type")
    for name, kinds in rules.kinds.items():
        if body.get(name) is not None and not isinstance(body[name], kinds):
            allowed = " or ".join(_KINDS[kind] for kind in kinds)
            given = json.dumps(body[name], default=str)[:40]
            message = f"'body.{name}' is {given}, but {endpoint} takes {allowed}"
            raise PromptRejected(message, param=f"body.{name}", code="invalid_type")


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)


def strict_warnings(
    body: Mapping[str, Any], *, endpoint: str, strict_schemas: bool
) -> list[StrictProblem]:
    """What a provider may refuse of the schemas that it is sent for the strict mode.

    Raises PromptRejected for what is no schema.
    """
    asked = asked_schemas(body, endpoint)
    for one in asked:
        one.model()
    return [problem for one in asked for problem in one.problems(in_strict_form=strict_schemas)]


def with_response_schema(
    defaults: Mapping[str, Any],
    *,
    endpoint: str,
    schema: Schema,
    name: str = "response",
    strict: bool = False,
) -> dict[str, Any]:
    """The defaults, with every answer asked for in this schema. Raises PromptRejected."""
    response_model(schema)
    described = {"name": name, "schema": schema, **({"strict": True} if strict else {})}
    return _asking(defaults, endpoint, described)


def _asking(
    defaults: Mapping[str, Any], endpoint: str, described: Mapping[str, Any]
) -> dict[str, Any]:
    place = rules_of(endpoint).schema
    if place is None:
        message = f"{endpoint} gives no answers that a schema could fit"
        raise PromptRejected(message, param="schema")
    form: Mapping[str, Any] = {"json_schema": described} if place.is_nested else described
    form = {"type": "json_schema", **form}
    for step in reversed(place.at):
        form = {step: form}
    return {**defaults, **form}


def with_response_class(
    defaults: Mapping[str, Any], *, endpoint: str, model: Any
) -> dict[str, Any]:
    """Return the defaults, with every answer asked for as JSON of a type.

    It is asked for in the strict mode, if the schema of the type can be put so. Raises
    PromptRejected.
    """
    answer_model = class_model(model)
    schema = schema_of(answer_model)
    form = strict_form(schema)
    described: dict[str, Any] = {"name": type_name(model), "schema": schema}
    if not form.problems:
        described = {**described, "schema": form.schema, "strict": True}
    return _asking(defaults, endpoint, described)


def asks_for_schema(body: Mapping[str, Any], endpoint: str) -> bool:
    """Whether a body says by itself how its answer is to look."""
    place = rules_of(endpoint).schema
    return place is not None and place.at[0] in body


def _content(body: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptRejected(f"cannot be sent as JSON: {error}", param="body") from error
