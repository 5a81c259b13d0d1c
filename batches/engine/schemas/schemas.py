"""Make response models from JSON Schemas: pydantic models that validate with jsonschema-rs."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, RootModel, create_model, model_validator

from batches.engine.errors import PromptRejected
from batches.engine.schemas.cache import SchemaCache
from batches.engine.schemas.compiled import Compiled, compile_schema, no_schema
from batches.engine.schemas.expansion import Expansion, expansion_of
from batches.engine.schemas.judging import judge_of
from batches.engine.schemas.keywords import LoadedSchema, Schema
from batches.engine.schemas.older_drafts import modern
from batches.engine.schemas.references import Unfollowable

MAX_SCHEMA_BYTES = 256 * 1024
MAX_SCHEMA_DEPTH = 64
# Bound on the schemas that references multiply to. Without it, one page of references to references
# could take years to validate.
MAX_EXPANSION = 10_000
# A model with thousands of fields takes seconds to make. Properties beyond this number are
# attributes too, but only of an answer that has them.
MAX_FIELDS = 200
MAX_KEPT_BYTES = 256 * 1024 * 1024
_NAME = "Response"


class SchemaObject(BaseModel):
    """An answer that fits a JSON Schema of an object; its properties are attributes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    _asked: ClassVar[LoadedSchema] = True
    _pattern_bytes: ClassVar[int] = 0


class SchemaValue(RootModel[Any]):
    """An answer that fits any other JSON Schema, as its `root`."""

    _asked: ClassVar[LoadedSchema] = True
    _pattern_bytes: ClassVar[int] = 0


def response_model(schema: Schema) -> type[BaseModel]:
    """Return the model that accepts exactly what the schema allows (draft 2020-12).

    Objects have their properties as attributes; any other value is the `root`. Equal schemas share
    one model. No reference outside the schema is fetched, and patterns run in linear time. Raise
    PromptRejected for an invalid schema; its `param` is the place of the fault.
    """
    try:
        canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise no_schema(str(error)) from error
    if len(canonical) > MAX_SCHEMA_BYTES:
        message = f"'schema' is too large: {len(canonical)} bytes. The most is {MAX_SCHEMA_BYTES}."
        raise PromptRejected(message, param="schema")
    return MODELS(canonical)


def is_schema_model(model: type[BaseModel]) -> bool:
    """Return True if a model was made from a JSON Schema, rather than written as a class."""
    return issubclass(model, SchemaObject | SchemaValue)


def schema_of(model: type[BaseModel]) -> LoadedSchema:
    """Return the schema that a model was made from, or the schema of a class."""
    if issubclass(model, SchemaObject | SchemaValue):
        return model._asked
    return model.model_json_schema()


def _model_of(canonical: str) -> type[SchemaObject] | type[SchemaValue]:
    given: LoadedSchema = json.loads(canonical)
    _check_depth(given)
    schema: LoadedSchema = modern(given)
    expansion = _bounded_expansion(schema)
    compiled = compile_schema(schema, patterns=expansion.patterns)
    return model_judged_by(compiled, schema, expansion=expansion)


def model_judged_by(
    compiled: Compiled, schema: LoadedSchema, *, expansion: Expansion
) -> type[SchemaObject] | type[SchemaValue]:
    """Return the model of a schema; the model validates with the compiled schema."""
    judge = model_validator(mode="before")(judge_of(compiled, _NAME, expansion))
    validators: dict[str, Any] = {"_judge": judge}
    pattern_bytes = compiled.pattern_bytes * expansion.patterns
    if isinstance(schema, dict) and schema.get("type") == "object":
        fields: dict[str, Any] = {
            field: (Any, None) for field in schema.get("properties", {}) if _is_attribute(field)
        }
        few = dict(list(fields.items())[:MAX_FIELDS])
        shaped = create_model(_NAME, __base__=SchemaObject, __validators__=validators, **few)
        shaped._asked, shaped._pattern_bytes = schema, pattern_bytes
        return shaped
    whole = create_model(_NAME, __base__=SchemaValue, __validators__=validators)
    whole._asked, whole._pattern_bytes = schema, pattern_bytes
    return whole


# The response models of this process.
MODELS = SchemaCache(
    _model_of, most_bytes=MAX_KEPT_BYTES, more_bytes=lambda model: model._pattern_bytes
)


def _is_attribute(field: str) -> bool:
    # Properties that pydantic refuses as fields are still available in model_extra.
    return field.isidentifier() and not field.startswith("_") and not hasattr(BaseModel, field)


def _check_depth(schema: LoadedSchema) -> None:
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [inner for outer in level for _, inner in _members(outer)]
        if not level:
            return
    raise no_schema(f"nested more than {MAX_SCHEMA_DEPTH} levels deep")


def _bounded_expansion(schema: LoadedSchema) -> Expansion:
    try:
        expansion = expansion_of(schema)
    except Unfollowable as error:
        raise no_schema(str(error), error.place) from error
    except RecursionError as error:
        raise no_schema("its references form a loop, or are nested too deeply") from error
    if expansion.size > MAX_EXPANSION:
        message = f"its references multiply to {expansion.size} schemas"
        raise no_schema(f"{message}; the most is {MAX_EXPANSION}")
    return expansion


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
