"""Read which tools a request offers and if it demands a call, in all spellings."""

from collections.abc import Iterator, Mapping
from typing import Any

from batches.engine.records import ToolDemand

NO_TOOLS = ToolDemand()

# "required" of OpenAI, "any" of Anthropic, Mistral and Gemini; the other words are the types of
# a choice that names a tool.
_CALLS = frozenset({"required", "any", "tool", "function", "custom"})
_FIELDS = ("tool_choice", "function_call", "tool_config", "toolConfig")
# The description of a tool may be nested in namespaces, declarations or wrappers.
_MAX_NESTING = 4
_WRAPPERS = (
    "function",
    "custom",
    "tools",
    "allowed_tools",
    "functions",
    "function_declarations",
    "functionDeclarations",
    "toolSpec",
)
_NAME_LISTS = ("allowed_function_names", "allowedFunctionNames", "allowed_tool_names")
_MODES = ("allowed_tools", "function_calling_config", "functionCallingConfig")


def tool_demand(body: Mapping[str, Any]) -> ToolDemand:
    """Return the tools that a body offers and the calls that it demands."""
    tools, functions = body.get("tools"), body.get("functions")
    choice = next((body[field] for field in _FIELDS if body.get(field) is not None), None)
    if not tools and not functions and choice is None:
        return NO_TOOLS
    offered = frozenset(_names(tools)) | frozenset(_names(functions))
    mode, chosen = _mode(choice, offered), frozenset(_chosen(choice, offered))
    if mode == "none":
        return ToolDemand(restricted=True)
    allowed = chosen or offered
    functions = frozenset(_names([tool for tool in _list(tools) if _is_function(tool)]))
    # Only calls of functions are all in the reply; other tools run at the provider.
    shown = allowed <= functions | frozenset(_names(body.get("functions"))) and (
        bool(chosen) or all(map(_is_function, _list(tools)))
    )
    required = mode in _CALLS and bool(allowed) and shown
    return ToolDemand(allowed, required=required, restricted=required or bool(chosen))


def _mode(choice: Any, offered: frozenset[str]) -> str:
    """Return the mode of a tool choice."""
    if isinstance(choice, str):
        # TGI takes the bare name of a tool.
        return "tool" if choice in offered else choice.strip().lower()
    if not isinstance(choice, Mapping):
        return ""
    nested: Mapping[str, Any] = next(
        (choice[key] for key in _MODES if isinstance(choice.get(key), Mapping)), {}
    )
    mode = choice.get("mode") or nested.get("mode")
    if not isinstance(mode, str):
        mode = choice.get("type")
    if not isinstance(mode, str):
        # Only the name of a function: {"name": ...}, {"function": {"name": ...}}.
        return "tool"
    return mode.strip().lower()


def _chosen(choice: Any, offered: frozenset[str]) -> Iterator[str]:
    """Yield the names of the tools that a choice is limited to."""
    if isinstance(choice, str):
        yield from (choice,) if choice in offered else ()
    elif isinstance(choice, Mapping):
        yield from _names(choice)
        for holder in (choice, *(choice.get(key) for key in _MODES)):
            if isinstance(holder, Mapping):
                yield from (name for key in _NAME_LISTS for name in _strings(holder.get(key)))


def _names(described: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names of all tools in a description."""
    if depth > _MAX_NESTING:
        return
    if isinstance(described, list):
        for one in described:
            yield from _names(one, depth + 1)
    elif isinstance(described, Mapping):
        if isinstance(described.get("name"), str):
            yield described["name"]
        for key in _WRAPPERS:
            yield from _names(described.get(key), depth + 1)


def _strings(value: Any) -> list[str]:
    return [item for item in _list(value) if isinstance(item, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_function(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type", "function") == "function"
