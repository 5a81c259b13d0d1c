"""Cache the models of the schemas that the prompts of a batch share."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from batches.engine.errors import PromptRejected
from batches.engine.schemas.keywords import Schema
from batches.engine.structured.asked import AskedSchema, asked_schemas


class KnownSchemas:
    """The models and strict forms of the schemas in a batch's defaults, made once for all prompts.

    The global cache is keyed by the serialised schema. This one is keyed by identity, which is
    faster, so the defaults must not change meanwhile. With an `answer_model`, answers to the schema
    of the defaults are instances of that class.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        endpoint: str,
        *,
        answer_model: type[BaseModel] | None = None,
    ) -> None:
        asked = _asked_in(defaults, endpoint)
        self._schemas = {id(one.schema): one.schema for one in asked}
        self._models: dict[int, type[BaseModel]] = {}
        if answer_model is not None:
            self._models = {id(one.schema): answer_model for one in asked if one.tool is None}
        self._strict_forms: dict[int, Schema | None] = {}

    def knows(self, asked: AskedSchema) -> bool:
        """Return True if a schema is the same object as one in the defaults."""
        return self._schemas.get(id(asked.schema)) is asked.schema

    def model_of(self, asked: AskedSchema) -> type[BaseModel]:
        """Return the response model of a schema. Raise PromptRejected."""
        if not self.knows(asked):
            return asked.model()
        key = id(asked.schema)
        if key not in self._models:
            self._models[key] = asked.model()
        return self._models[key]

    def strict_form_of(self, asked: AskedSchema) -> Schema | None:
        """Return the strict form of a schema, or None if it has none."""
        if not self.knows(asked):
            return asked.strict_form()
        key = id(asked.schema)
        if key not in self._strict_forms:
            self._strict_forms[key] = asked.strict_form()
        return self._strict_forms[key]


def _asked_in(defaults: Mapping[str, Any], endpoint: str) -> list[AskedSchema]:
    try:
        return asked_schemas(defaults, endpoint)
    except PromptRejected:
        # Each prompt that does not override the invalid schema is rejected later.
        return []
