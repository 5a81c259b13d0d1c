"""Read and validate the requests that the provider understands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from simulator.problems import first_problem
from simulator.schema_book import Schema

MOST_DIMENSIONS = 8192
MOST_INPUTS = 2048

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class BadRequest(ValueError):
    """A request that a provider answers with 400."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `prompt` is its key in the ledger, `inputs` are the texts to embed, `turn` is the
    number of the question in its conversation."""

    model: str
    prompt: str
    prompt_chars: int
    cached_chars: int = 0
    turn: int = 1
    schema: Schema | None = None
    schema_param: str = "response_format"
    inputs: tuple[str, ...] = ()
    dimensions: int | None = None
    base64: bool = False
    # Number of requested results: images, or the best documents.
    number: int | None = None


class _Part(BaseModel):
    type: str
    text: str | None = None


class _Message(BaseModel):
    role: Role = "user"
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text is not None)
        return self.content or ""


class _ChatMessage(_Message):
    role: Role


class _SchemaFormat(BaseModel):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: dict[str, Any] = Field(alias="schema", default_factory=lambda: {"type": "object"})


class _ChatFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _SchemaFormat | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs json_schema")
        return self


class _PlainFormat(BaseModel):
    type: Literal["text", "json_object"]


class _FlatSchemaFormat(_SchemaFormat):
    type: Literal["json_schema"]


class _TextOptions(BaseModel):
    format: _PlainFormat | _FlatSchemaFormat | None = Field(default=None, discriminator="type")


class _Request(BaseModel):
    model: Annotated[str, Field(min_length=1)]
    stream: Literal[False] | None = None


class _ChatRequest(_Request):
    messages: Annotated[list[_ChatMessage], Field(min_length=1)]
    response_format: _ChatFormat | None = None


class _ResponsesRequest(_Request):
    input: str | list[_Message]
    instructions: str | None = None
    text: _TextOptions | None = None


class _CompletionsRequest(_Request):
    prompt: str | list[str] | list[int] | list[list[int]]


class _OptionalModel(BaseModel):
    model: Annotated[str, Field(min_length=1)] = "simulated-small"
    stream: Literal[False] | None = None


class _ModerationsRequest(_OptionalModel):
    input: str | list[str] | list[_Part]


class _ImageRequest(_OptionalModel):
    prompt: Annotated[str, Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=10)] = 1
    response_format: Literal["b64_json", "url"] = "b64_json"


class _FileReference(BaseModel):
    file_id: str | None = None
    image_url: str | None = None


class _ImageEditRequest(_ImageRequest):
    images: Annotated[list[_FileReference], Field(min_length=1)]


class _VideoRequest(_OptionalModel):
    prompt: Annotated[str, Field(min_length=1)]
    input_reference: _FileReference | None = None


class _RerankRequest(_OptionalModel):
    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1)] | None = None


class _ScoreRequest(_OptionalModel):
    text_1: str | list[str]
    text_2: str | list[str]


class _EmbeddingsRequest(_Request):
    input: str | list[str] | list[int] | list[list[int]]
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] = "float"


Request = TypeVar("Request", bound=BaseModel)


def read_chat(body: bytes) -> Call:
    """Return the call in the body of /v1/chat/completions. Raise BadRequest."""
    request = _parse(_ChatRequest, body)
    format_ = request.response_format
    texts = [message.text for message in request.messages]
    schema: Schema | None = None
    if format_ is not None and format_.type == "json_object":
        schema = _any_object(texts, "messages")
    elif format_ is not None and format_.json_schema is not None:
        schema = format_.json_schema.schema_
    return Call(
        model=request.model,
        prompt=_prompt(request.messages),
        prompt_chars=sum(map(len, texts)),
        turn=_turn(request.messages),
        schema=schema,
    )


def read_responses(body: bytes) -> Call:
    """Return the call in the body of /v1/responses. Raise BadRequest."""
    request = _parse(_ResponsesRequest, body)
    given = request.input
    messages = [_Message(content=given)] if isinstance(given, str) else given
    texts = [request.instructions or "", *(message.text for message in messages)]
    format_ = request.text.format if request.text else None
    schema: Schema | None = None
    if isinstance(format_, _FlatSchemaFormat):
        schema = format_.schema_
    elif format_ is not None and format_.type == "json_object":
        schema = _any_object(texts, "input")
    return Call(
        model=request.model,
        prompt=_prompt(messages),
        prompt_chars=sum(map(len, texts)),
        turn=_turn(messages),
        schema=schema,
        schema_param="text.format.schema",
    )


def read_embeddings(body: bytes) -> Call:
    """Return the call in the body of /v1/embeddings. Raise BadRequest."""
    request = _parse(_EmbeddingsRequest, body)
    inputs = _inputs(request.input)
    if not inputs or not all(inputs):
        raise BadRequest("'$.input' must not be empty.", "input", "invalid_value")
    if len(inputs) > MOST_INPUTS:
        raise BadRequest(f"'$.input' holds more than {MOST_INPUTS} texts.", "input")
    return Call(
        model=request.model,
        prompt="\n".join(inputs),
        prompt_chars=sum(map(len, inputs)),
        inputs=inputs,
        dimensions=request.dimensions,
        base64=request.encoding_format == "base64",
    )


def read_completions(body: bytes) -> Call:
    """Return the call in the body of /v1/completions. Raise BadRequest."""
    request = _parse(_CompletionsRequest, body)
    return _call_of(request.model, _inputs(request.prompt))


def read_moderations(body: bytes) -> Call:
    """Return the call in the body of /v1/moderations. Raise BadRequest."""
    request = _parse(_ModerationsRequest, body)
    given = request.input if isinstance(request.input, list) else [request.input]
    parts = [one for one in given if isinstance(one, _Part)]
    if parts:
        # These are the parts of one input, not several inputs.
        return _call_of(request.model, ("\n".join(part.text or "" for part in parts),))
    return _call_of(request.model, tuple(one for one in given if isinstance(one, str)))


def read_images(body: bytes) -> Call:
    """Return the call in the body of /v1/images/generations. Raise BadRequest."""
    return _image_call(_parse(_ImageRequest, body))


def read_image_edits(body: bytes) -> Call:
    """Return the call in the body of /v1/images/edits. Raise BadRequest."""
    return _image_call(_parse(_ImageEditRequest, body))


def read_videos(body: bytes) -> Call:
    """Return the call in the body of /v1/videos. Raise BadRequest."""
    request = _parse(_VideoRequest, body)
    return _call_of(request.model, (request.prompt,))


def read_rerank(body: bytes) -> Call:
    """Return the call in the body of /v1/rerank. Raise BadRequest."""
    request = _parse(_RerankRequest, body)
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in request.documents]
    call = _call_of(request.model, (request.query,))
    return replace(call, inputs=tuple(texts), number=request.top_n)


def read_score(body: bytes) -> Call:
    """Return the call in the body of /v1/score. Raise BadRequest."""
    request = _parse(_ScoreRequest, body)
    one, others = request.text_1, request.text_2
    texts = tuple([others] if isinstance(others, str) else others)
    prompt = one if isinstance(one, str) else "\n".join(one)
    return replace(_call_of(request.model, (prompt,)), inputs=texts)


def _image_call(request: _ImageRequest) -> Call:
    call = _call_of(request.model, (request.prompt,))
    return replace(call, number=request.n, base64=request.response_format == "b64_json")


def _call_of(model: str, texts: tuple[str, ...]) -> Call:
    return Call(
        model=model, prompt="\n".join(texts), prompt_chars=sum(map(len, texts)), inputs=texts
    )


def _prompt(messages: Sequence[_Message]) -> str:
    return "\n".join(message.text for message in messages if message.role == "user")


def _turn(messages: Sequence[_Message]) -> int:
    """Return the number of the question in its conversation, from 1."""
    return 1 + sum(message.role == "assistant" for message in messages)


def _inputs(given: str | list[str] | list[int] | list[list[int]]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    tokens = [one for one in given if isinstance(one, int)]
    if tokens:
        return (" ".join(map(str, tokens)),)
    return tuple(
        one if isinstance(one, str) else " ".join(map(str, one))
        for one in given
        if not isinstance(one, int)
    )


def _any_object(texts: list[str], param: str) -> Schema:
    if not any(re.search("json", text, re.IGNORECASE) for text in texts):
        raise BadRequest(
            f"'{param}' must contain the word 'json' in some form, to use a response format of "
            "type 'json_object'.",
            param,
        )
    return {"type": "object"}


def _parse(model: type[Request], body: bytes) -> Request:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _bad_request(error) from error


def _bad_request(error: ValidationError) -> BadRequest:
    problem = first_problem(error)
    if problem.kind == "json_invalid":
        return BadRequest(f"We could not parse the JSON body of your request: {problem.text}.")
    if problem.kind == "missing":
        message = f"Missing required parameter: '{problem.path}'."
        return BadRequest(message, problem.path, "missing_required_parameter")
    if problem.path == "stream":
        return BadRequest("This provider does not stream.", "stream", "unsupported_value")
    message = f"Invalid value for '{problem.path}': {problem.text}."
    return BadRequest(message, problem.path or None, "invalid_value")
