"""Schemas that take long to prepare, each another for its number."""

import json
from typing import Any

from batches.actions import batches as batch_actions
from batches.inputs.prompts import NewPrompt
from batches.models import Batch, Provider
from tests.makers import options


def large_schema(number: int, *, fields: int = 400) -> dict[str, Any]:
    """A schema of about 130 bytes for each field."""
    inner = {"a": {"type": "string", "minLength": 1}, "b": {"enum": ["x", "y"]}}
    return {
        "type": "object",
        "properties": {
            f"field_{number}_{n}": {
                "type": "object",
                "properties": inner,
                "additionalProperties": False,
            }
            for n in range(fields)
        },
    }


def asking(schema: Any, text: str = "hi") -> dict[str, Any]:
    """The body of a chat completion whose answer is to fit a schema."""
    return {
        "messages": [{"role": "user", "content": text}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema},
        },
    }


def batch_of_schemas(
    provider: Provider, count: int, *, first: int = 0, fields: int = 400, **changes: Any
) -> Batch:
    """A batch of prompts that ask for answers in as many large schemas, unchecked."""
    prompts = [
        NewPrompt(n + 1, f"id-{n}", json.dumps(asking(large_schema(first + n, fields=fields))))
        for n in range(count)
    ]
    return batch_actions.create_batch(provider, prompts, options(**changes))
