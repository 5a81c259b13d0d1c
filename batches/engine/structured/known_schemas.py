"""The schemas that the prompts of a batch share."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from batches.engine.errors import PromptRejected
from batches.engine.schemas.keywords import Schema
from batches.engine.structured.asked import AskedSchema, asked_schemas


class KnownSchemas:
    """What becomes of the schemas in the defaults of a batch, found once and not for each prompt.

    To look a schema up among all that there are is to write it out; these are known by what they
    are. They must not change meanwhile. The answers that the defaults ask for may be those of a
    class.
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
        """Return True if a schema is one of the defaults, as it stands there."""
        return self._schemas.get(id(asked.schema)) is asked.schema

    def model_of(self, asked: AskedSchema) -> type[BaseModel]:
        """The model of what fits a schema. Raises PromptRejected."""
        if not self.knows(asked):
            return asked.model()
        key = id(asked.schema)
        if key not in self._models:
            self._models[key] = asked.model()
        return self._models[key]

    def strict_form_of(self, asked: AskedSchema) -> Schema | None:
        """Return a schema as the strict mode wants it, or None if it cannot be put so."""
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
        # Each prompt that does not bring a better one is rejected for it.
        return []
