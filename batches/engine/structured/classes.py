"""Use a Python type as the schema of answers: any type that pydantic can validate."""

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from inspect import isroutine
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, RootModel, create_model
from pydantic.errors import PydanticSchemaGenerationError

from batches.engine.errors import PromptRejected
from batches.engine.schemas.schemas import schema_of
from batches.engine.schemas.strict_form import strict_form

MAX_NAME_CHARS = 64
# The property that wraps an answer that is not an object, since strict mode requires an object.
WRAPPER_FIELD = "response"

_ILLEGAL = re.compile(r"[^A-Za-z0-9-]+")
_MODULES = re.compile(r"(?:[\w<>]+\.)+(?=\w)")


class TypedAnswer(RootModel[Any]):
    """An answer of a type that is not a pydantic model."""


class WrappedAnswer(BaseModel):
    """An answer wrapped in an object, as its only property."""


def class_model(kind: Any) -> type[BaseModel]:
    """Return the pydantic model for answers of a type; `unwrapped` returns the answer's value.

    A type whose JSON is not an object is wrapped in one. Raise PromptRejected for a value that is
    not a type, or a type that pydantic does not support.
    """
    _check_is_type(kind)
    try:
        if _is_object(model := _model_of(kind)):
            return model
        named: dict[str, Any] = {WRAPPER_FIELD: (kind, ...)}
        wrapper = create_model(type_name(kind), __base__=WrappedAnswer, **named)
        schema_of(wrapper)
    except Exception as error:
        # Pydantic raises its own errors, and any error of the type or its annotations.
        raise _no_type(kind, _reason(error)) from error
    return wrapper


def unwrapped(instance: BaseModel) -> Any:
    """Return the value of an answer; remove the wrapper that `class_model` may have added."""
    if isinstance(instance, TypedAnswer):
        return instance.root
    return getattr(instance, WRAPPER_FIELD) if isinstance(instance, WrappedAnswer) else instance


def type_name(kind: Any) -> str:
    """Return the name of a type, with only the characters that a response format allows."""
    if get_origin(kind) is Annotated:
        return type_name(get_args(kind)[0])
    if get_origin(kind) is None and hasattr(kind, "__name__"):
        text = str(kind.__name__)
    else:
        text = _MODULES.sub("", repr(kind))
    return _ILLEGAL.sub("_", text).strip("_")[:MAX_NAME_CHARS] or "response"


def _model_of(kind: Any) -> type[BaseModel]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return create_model(type_name(kind), __base__=TypedAnswer, root=(kind, ...))


def _is_object(model: type[BaseModel]) -> bool:
    return all(problem.rule != "root_object" for problem in strict_form(schema_of(model)).problems)


def _check_is_type(kind: Any) -> None:
    """Raise PromptRejected for values that pydantic would accept, or reject misleadingly."""
    if isinstance(kind, Mapping):
        raise _no_type(kind, "a JSON Schema belongs in response_format")
    if isroutine(kind):
        raise _no_type(kind, "it is a function")
    if isinstance(kind, str | bytes | list | tuple | BaseModel) or (
        is_dataclass(kind) and not isinstance(kind, type)
    ):
        raise _no_type(kind, f"it is an instance of {type(kind).__name__}")


def _no_type(kind: Any, reason: str) -> PromptRejected:
    remedy = (
        "give a pydantic model, a dataclass, a TypedDict or another type that pydantic's "
        "TypeAdapter takes, or a JSON Schema in response_format"
    )
    message = f"answers cannot be validated by {repr(kind)[:100]}: {reason}; {remedy}"
    return PromptRejected(message, param="response_model", code="invalid_type")


def _reason(error: Exception) -> str:
    if isinstance(error, PydanticSchemaGenerationError):
        return "pydantic has no way to validate it, or a part of it"
    text = str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}"[:300]
