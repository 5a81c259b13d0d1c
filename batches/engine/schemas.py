"""JSON Schema -> response model: a pydantic model whose verdict is that of jsonschema-rs."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
from pydantic import (
    BaseModel,
    ConfigDict,
    RootModel,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from batches.engine.errors import PromptRejected

Schema = Mapping[str, Any] | bool
LoadedSchema = dict[str, Any] | bool

MAX_SCHEMA_BYTES = 256 * 1024
MAX_REPORTED_ERRORS = 20


def response_model(schema: Schema, name: str = "Response") -> type[BaseModel]:
    """The model that accepts exactly what the schema allows (draft 2020-12).

    Objects have their properties as attributes, anything else is the `root`. One model is made for
    equal schemas. No reference outside the schema is ever fetched, patterns run in linear time.
    Raises PromptRejected for a schema that is none.
    """
    try:
        canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptRejected(f"not a JSON Schema: {error}", param="schema") from error
    if len(canonical) > MAX_SCHEMA_BYTES:
        raise PromptRejected(
            f"the schema has {len(canonical)} bytes; the most is {MAX_SCHEMA_BYTES}", param="schema"
        )
    return _model_of(canonical, name)


@lru_cache(maxsize=256)
def _model_of(canonical: str, name: str) -> type[BaseModel]:
    schema = json.loads(canonical)
    judge = model_validator(mode="before")(_judge_of(_compile(schema), name))
    validators: dict[str, Any] = {"_judge": judge}
    if isinstance(schema, dict) and schema.get("type") == "object":
        fields: dict[str, Any] = {
            field: (Any, None) for field in schema.get("properties", {}) if _is_attribute(field)
        }
        config = ConfigDict(extra="allow", protected_namespaces=())
        return create_model(name, __config__=config, __validators__=validators, **fields)
    return create_model(name, __base__=RootModel[Any], __validators__=validators)


def _is_attribute(field: str) -> bool:
    # What pydantic would refuse as a field is still there, in model_extra.
    return field.isidentifier() and not field.startswith("_") and not hasattr(BaseModel, field)


def _compile(schema: LoadedSchema) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise PromptRejected(f"not a JSON Schema: {reason}", param="schema") from error


def _judge_of(validator: jsonschema_rs.Draft202012Validator, name: str) -> Callable[[Any], Any]:
    def judge(value: Any) -> Any:
        if validator.is_valid(value):
            return value
        details: list[InitErrorDetails] = []
        for error in validator.iter_errors(value):
            message = PydanticCustomError("json_schema", "{reason}", {"reason": error.message})
            path = tuple(error.instance_path)
            details.append(InitErrorDetails(type=message, loc=path, input=error.instance))
            if len(details) == MAX_REPORTED_ERRORS:
                break
        raise ValidationError.from_exception_data(name, details)

    return judge
