"""The calls of tools in a reply, as providers write them; an odd one must not cost the answer."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from batches.engine.records import ToolCall


def _arguments(value: Any) -> str:
    """The arguments as text; some providers send them as JSON already."""
    return value if isinstance(value, str) else json.dumps(value)


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else None


Arguments = Annotated[str, BeforeValidator(_arguments)]
Name = Annotated[str, BeforeValidator(_name)]


class Function(BaseModel):
    name: Name = ""
    arguments: Arguments = ""


class ChatToolCall(BaseModel):
    """A call in the message of a chat; one without a function runs at the provider's."""

    id: Name = ""
    function: Annotated[Function | None, BeforeValidator(_object)] = None


ChatToolCalls = Annotated[list[ChatToolCall], BeforeValidator(_objects)]


def calls_of(calls: Iterable[ChatToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in calls
        if call.function is not None
    )
