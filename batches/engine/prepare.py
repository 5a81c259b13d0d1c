"""Phase 1: convert prompts into requests that are ready to send. Sequential, no I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from batches.engine.endpoints import EndpointRules, rules_of
from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.records import MAX_TOKENS, Outcome, PreparedRequest, PromptSpec
from batches.engine.replies.tool_choice import NO_TOOLS, tool_demand
from batches.engine.schemas.described import described_schema
from batches.engine.schemas.keywords import Schema
from batches.engine.schemas.schemas import response_model, schema_of
from batches.engine.schemas.strict import StrictProblem
from batches.engine.schemas.strict_form import strict_form
from batches.engine.structured.asked import (
    AskedSchema,
    asked_schemas,
    tool_names,
    with_strict_form,
)
from batches.engine.structured.classes import class_model, type_name
from batches.engine.structured.known_schemas import KnownSchemas
from batches.engine.text.sendable import sendable_json, text_fault
from batches.engine.text.wording import described, missing, type_text, wrong_type, wrong_value

# Fields by which some gateways let a request choose its own destination or credentials.
FORBIDDEN_FIELDS = frozenset({"api_base", "api_key", "base_url", "extra_headers"})

# The code of an error that all prompts of a batch have, since its fields are at fault.
SET_TWICE = "field_set_twice"
# The roles of a system prompt; the second is the newer name of the first.
SYSTEM_ROLES = ("system", "developer")

# The fields that ask for something else than one answer now, with the code of the error.
_MODES = (("stream", "streaming_unsupported"), ("background", "unsupported_value"))

# Names of JSON types in messages to users.
_KINDS: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}


def prepare_prompt_request(
    prompt: PromptSpec,
    *,
    endpoint: str,
    defaults: Mapping[str, Any],
    strict_schemas: bool = False,
    known: KnownSchemas | None = None,
) -> PreparedRequest | Outcome:
    """Return the request for a prompt, or a failed outcome if the prompt is rejected.

    Fields of the prompt's body win over the defaults. With `strict_schemas` each schema is sent in
    the form that the provider's strict mode requires; answers are still checked against the
    original schema. `known` holds the schemas of the defaults; pass it when there are many prompts.
    """
    body = whole_body(defaults, prompt.body)
    known = known or KnownSchemas(defaults, endpoint)
    try:
        asked = check_body(body, endpoint)
        _check_not_empty(body, rules_of(endpoint).asked_in)
        return PreparedRequest(
            index=prompt.index,
            custom_id=prompt.custom_id,
            endpoint=endpoint,
            content=sendable_json(_strict_body(body, asked, known) if strict_schemas else body),
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
    """Return the most output tokens that a body allows, in the dialect of any endpoint."""
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
    """Return the models of the tools by name, if any tool is strict."""
    strict = {one.tool: known.model_of(one) for one in asked if one.tool is not None}
    return {name: strict.get(name) for name in tool_names(body, endpoint)} if strict else {}


def _strict_body(
    body: Mapping[str, Any], asked: Sequence[AskedSchema], known: KnownSchemas
) -> Mapping[str, Any]:
    for one in asked:
        body = with_strict_form(body, one, known.strict_form_of(one))
    return body


def prompt_body(
    prompt: str, endpoint: str, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the request body for a text prompt.

    Raise PromptRejected if no field takes text, or if a default would be lost in this field.
    """
    field = rules_of(endpoint).asked_in
    if field is None:
        raise PromptRejected(
            f"a text alone is not a request to {endpoint}: give each request as a JSON object",
            param="body",
        )
    check_prompt_free(defaults or {}, endpoint)
    if field == "messages":
        return {"messages": [{"role": "user", "content": prompt}]}
    return {field: prompt}


def rejected(prompt: PromptSpec, error: PromptRejected) -> Outcome:
    """Return the outcome of a prompt that cannot be prepared."""
    return Outcome(
        index=prompt.index,
        custom_id=prompt.custom_id,
        status="failed",
        kind=FailureKind.REJECTED,
        code=error.code,
        message=error.message,
    )


def check_body(body: Mapping[str, Any], endpoint: str) -> list[AskedSchema]:
    """Return the schemas of a body, unchecked. Raise PromptRejected for an invalid body."""
    rules = rules_of(endpoint)
    _check_model(body, rules)
    _check_asked(body, endpoint, rules)
    _check_mode(body, rules)
    if not FORBIDDEN_FIELDS.isdisjoint(body):
        field = min(FORBIDDEN_FIELDS & body.keys())
        message = (
            f"'body.{field}' is not allowed: the provider of the batch decides where a prompt is "
            f"sent and with which key. Leave '{field}' out."
        )
        raise PromptRejected(message, param=f"body.{field}")
    return asked_schemas(body, endpoint)


def _check_model(body: Mapping[str, Any], rules: EndpointRules) -> None:
    model = body.get("model")
    if model is None and not rules.needs_model:
        return
    if isinstance(model, str) and model:
        fault = text_fault(model, allow_nul=False)
        if fault:
            raise PromptRejected(f"'body.model' {fault}", param="body.model")
        return
    hint = "Name a model in the prompt or for the whole batch."
    if model is None or model == "":
        raise missing("body.model", hint)
    text = f"{type_text('body.model', model, 'the name of a model')} {hint}"
    raise PromptRejected(text, param="body.model", code="missing_required_parameter")


def _check_asked(body: Mapping[str, Any], endpoint: str, rules: EndpointRules) -> None:
    """Raise PromptRejected for a body without a prompt, or with one of the wrong type."""
    asked_in = rules.asked_in
    value = body.get(asked_in) if asked_in else None
    # A prompt that is present but empty fails alone, when it is prepared.
    if asked_in and (value is None or (asked_in == "messages" and not value)):
        param = f"body.{asked_in}"
        got = f"It is {described(value)}; {endpoint} needs content." if asked_in in body else ""
        raise missing(param, got or f"{endpoint} needs it: it holds the prompt.")
    if asked_in == "messages" and not _are_messages(body[asked_in]):
        raise wrong_type("body.messages", body[asked_in], "an array of message objects")
    for name, kinds in rules.kinds.items():
        if body.get(name) is not None and not isinstance(body[name], kinds):
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise wrong_type(f"body.{name}", body[name], expected)


def _check_mode(body: Mapping[str, Any], rules: EndpointRules) -> None:
    """Raise PromptRejected for a body that asks for streaming or a deferred answer."""
    for field, code in _MODES:
        if body.get(field) and (rules.can_defer or field != "background"):
            expected = f"A batch does not support '{field}': leave it out or set it to false."
            raise wrong_value(f"body.{field}", body[field], expected, code=code)


def _check_not_empty(body: Mapping[str, Any], asked_in: str | None) -> None:
    """Raise PromptRejected for a body with an empty prompt, or an empty part of one."""
    value = body[asked_in] if asked_in else None
    if _is_empty(value) or (isinstance(value, list) and any(map(_is_empty, value))):
        param = f"body.{asked_in}"
        message = f"'{param}' is empty or has an empty part. Every part must have text."
        raise PromptRejected(message, param=param, code="empty_input")


def _is_empty(value: object) -> bool:
    return isinstance(value, str | list | dict) and not value


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)


def check_schemas(asked: Sequence[AskedSchema]) -> None:
    """Raise PromptRejected for an invalid JSON Schema."""
    for one in asked:
        one.model()


def strict_warnings(asked: Sequence[AskedSchema], *, strict_schemas: bool) -> list[StrictProblem]:
    """Return the problems for which a provider may refuse the schemas in strict mode.

    Raise PromptRejected for an invalid JSON Schema.
    """
    check_schemas(asked)
    return [problem for one in asked for problem in one.problems(in_strict_form=strict_schemas)]


def with_response_schema(
    defaults: Mapping[str, Any], *, endpoint: str, schema: Schema
) -> dict[str, Any]:
    """Return the defaults with this schema as the response format.

    The schema may be wrapped as an API wants it: {"name": …, "schema": …}. Raise PromptRejected
    for an invalid schema.
    """
    given = described_schema(schema)
    response_model(given.schema)
    described: dict[str, Any] = {"name": given.name or "response", "schema": given.schema}
    if given.strict:
        described["strict"] = True
    return _asking(defaults, endpoint, described)


def _asking(
    defaults: Mapping[str, Any], endpoint: str, described: Mapping[str, Any]
) -> dict[str, Any]:
    place = rules_of(endpoint).schema
    if place is None:
        message = f"A schema cannot be used with {endpoint}, since its answers are not JSON text."
        raise PromptRejected(message, param="schema")
    form: Mapping[str, Any] = {"json_schema": described} if place.is_nested else described
    form = {"type": "json_schema", **form}
    for step in reversed(place.at):
        form = {step: form}
    return {**defaults, **form}


def with_response_class(
    defaults: Mapping[str, Any], *, endpoint: str, model: Any
) -> dict[str, Any]:
    """Return the defaults with the schema of a Python type as the response format.

    Strict mode is used if the schema of the type has a strict form. Raise PromptRejected for a type
    that cannot be used.
    """
    answer_model = class_model(model)
    schema = schema_of(answer_model)
    form = strict_form(schema)
    described: dict[str, Any] = {"name": type_name(model), "schema": schema}
    if not form.problems:
        described = {**described, "schema": form.schema, "strict": True}
    return _asking(defaults, endpoint, described)


def own_fields(defaults: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a prompt with the system prompt of the defaults before its messages.

    The defaults hold it once for all prompts. A prompt that has one of its own keeps it.
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


def asks_for_schema(body: Mapping[str, Any], endpoint: str) -> bool:
    """Return True if a body has a response format of its own."""
    place = rules_of(endpoint).schema
    return place is not None and place.at[0] in body
