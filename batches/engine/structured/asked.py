"""Find the schemas in the body of a request: of the answer and of strict tools."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from batches.engine.endpoints import Path, rules_of
from batches.engine.errors import PromptRejected
from batches.engine.schemas.described import holder_of
from batches.engine.schemas.keywords import Schema
from batches.engine.schemas.schemas import response_model
from batches.engine.schemas.strict import StrictProblem, strict_problems
from batches.engine.schemas.strict_form import strict_form
from batches.engine.text.wording import type_text


@dataclass(frozen=True, slots=True)
class AskedSchema:
    """A schema in a body, with the path of its wrapper; `tool` is the tool it belongs to."""

    schema: Schema
    described_at: Path
    key: str
    strict: bool
    tool: str | None = None

    @property
    def param(self) -> str:
        return _param(self.described_at, self.key)

    def model(self) -> type[BaseModel]:
        """Return the response model. Raise PromptRejected that names the place in the body."""
        try:
            return response_model(self.schema)
        except PromptRejected as error:
            param = self.param + error.param.removeprefix("schema")
            message = error.message.replace(f"'{error.param}'", f"'{param}'", 1)
            raise PromptRejected(message, param=param, code=error.code) from error

    def strict_form(self) -> Schema | None:
        """Return the strict form of the schema, or None if it has none."""
        form = strict_form(self.schema)
        return None if form.problems else form.schema

    def problems(self, *, in_strict_form: bool = False) -> list[StrictProblem]:
        """Return the problems of the schema in strict mode, if the request asks for that mode.

        With `in_strict_form` the problems are the reasons why the schema has no strict form, so
        that the original schema is sent instead.
        """
        if in_strict_form:
            found: Iterable[StrictProblem] = map(_left, strict_form(self.schema).problems)
        else:
            found = strict_problems(self.schema) if self.strict else ()
        return [
            replace(problem, place=self.param + problem.place.removeprefix("root"))
            for problem in found
        ]


def _left(problem: StrictProblem) -> StrictProblem:
    return replace(problem, message=f"{problem.message}; sent without strict")


def _param(path: Path, key: str) -> str:
    return ".".join(map(str, ("body", *path, key)))


def asked_schemas(body: Mapping[str, Any], endpoint: str) -> list[AskedSchema]:
    """Return the schema of the answer, if there is one, and the schemas of strict tools.

    Raise PromptRejected for a schema that is announced but missing.
    """
    place = rules_of(endpoint).schema
    if place is None or ("tools" not in body and place.at[0] not in body):
        return []
    answer = answer_schema(body, endpoint)
    return [*([answer] if answer else []), *_tool_schemas(body, endpoint)]


def answer_schema(body: Mapping[str, Any], endpoint: str) -> AskedSchema | None:
    """Return the JSON Schema that the answer must fit, if any. Raise PromptRejected."""
    place = rules_of(endpoint).schema
    form = _at(body, place.at) if place else None
    if place is None or not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return None
    path: Path = place.at
    if place.is_nested:
        path, form = (*path, "json_schema"), form.get("json_schema")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    if not isinstance(form, Mapping) or not isinstance(schema, Mapping | bool):
        raise _no_schema(_param(path, "schema"), form, "schema")
    _check_bare(schema, _param(path, "schema"))
    return AskedSchema(schema, path, "schema", strict=form.get("strict") is True)


def _tool_schemas(body: Mapping[str, Any], endpoint: str) -> Iterator[AskedSchema]:
    for path, tool in _functions(body, endpoint):
        if tool.get("strict") is not True:
            continue
        schema = tool.get("parameters")
        if not isinstance(schema, Mapping | bool):
            raise _no_schema(_param(path, "parameters"), tool, "parameters")
        yield AskedSchema(schema, path, "parameters", strict=True, tool=tool["name"])


def _check_bare(schema: Schema, param: str) -> None:
    """Raise PromptRejected for a wrapped schema: read as a schema, it would allow any answer."""
    holder = holder_of(schema)
    if holder is not None:
        message = f"'{param}' is not a JSON Schema but contains one: give the value of '{holder}'."
        raise PromptRejected(message, param=param)


def _no_schema(param: str, described: Any, key: str) -> PromptRejected:
    given = described.get(key) if isinstance(described, Mapping) else None
    expected = "a JSON Schema (an object, or true or false)"
    return PromptRejected(type_text(param, given, expected), param=param)


def tool_names(body: Mapping[str, Any], endpoint: str) -> list[str]:
    """Return the names of the functions that a body offers."""
    return [tool["name"] for _, tool in _functions(body, endpoint)]


def _functions(body: Mapping[str, Any], endpoint: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the functions that a body offers as tools; other tools run at the provider."""
    place = rules_of(endpoint).schema
    tools = body.get("tools") if place else None
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, Mapping) or tool.get("type") != "function":
            continue
        path: Path = ("tools", number)
        if place and place.is_nested:
            path, tool = (*path, "function"), tool.get("function")  # noqa: PLW2901 - unwrapped
        if isinstance(tool, Mapping) and isinstance(tool.get("name"), str):
            yield path, tool


def with_strict_form(
    body: Mapping[str, Any], asked: AskedSchema, form: Schema | None
) -> dict[str, Any]:
    """Return the body with a schema in its strict form; if it has none, with strict off."""
    described = dict(_at(body, asked.described_at))
    described["strict"] = form is not None
    if form is not None:
        described[asked.key] = form
    changed: dict[str, Any] = _with(body, asked.described_at, described)
    return changed


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        else:
            value = value[step]
    return value


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    changed: Any = list(value) if isinstance(value, list) else dict(value)
    changed[path[0]] = _with(value[path[0]], path[1:], new)
    return changed
