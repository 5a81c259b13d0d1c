"""Schemas as Python libraries write them, with values that fit."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pydantic.v1
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from typing_extensions import TypedDict

Problem = tuple[str, str]


@dataclass(frozen=True)
class Written:
    """A schema that a generator wrote.

    `values` fit it. `impossible` are the rule and the place of what keeps it from the strict mode.
    """

    writer: str
    schema: dict[str, Any]
    values: tuple[Any, ...]
    impossible: tuple[Problem, ...] = ()


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    """A part."""

    name: str
    price: float | None = None
    colour: Colour = Colour.RED


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)] = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    friend: "Dog | Cat | None" = None


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    rows: list[T]
    following: str | None = Field(None, alias="next", description="Where to go on.")


class Everything(BaseModel):
    model_config = ConfigDict(title="All of it")

    part: Part = Field(description="The first of the parts.")
    spare: Part | None = Field(default=None, description="Perhaps another.")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    level: Literal[1, "high", None] = None
    at: datetime
    day: date
    key: UUID
    page: Page[Part]
    tags: set[str] = Field(default_factory=set, max_length=3)
    code: str = Field(default="A1", pattern=r"^[A-Z]\d$", min_length=2)
    count: int = Field(default=0, multiple_of=2, gt=-2)


class Tree(BaseModel):
    value: int
    parent: "Tree | None" = Field(default=None, description="The one above.")
    children: "list[Tree]" = Field(default=[], title="Those below")


class Open(BaseModel):
    point: tuple[float, float]
    counts: dict[str, int]
    anything: Any = None


class OldPart(pydantic.v1.BaseModel):
    """An old part."""

    number: int = 3


class Old(pydantic.v1.BaseModel):
    part: OldPart = pydantic.v1.Field(OldPart(), description="The part.")
    parts: list[OldPart]
    colour: Colour = Colour.RED
    level: Literal["low", "high"]
    note: str | None
    short: pydantic.v1.constr(min_length=1, regex="^a") = "a"  # type: ignore[valid-type]  # as version 1 has it


class OldTree(pydantic.v1.BaseModel):
    children: "list[OldTree]" = []


OldTree.update_forward_refs()


@dataclass
class Address:
    street: str
    number: int | None = None


@dataclass
class Person:
    name: str
    home: Address
    others: list[Address] = field(default_factory=list)


class Line(TypedDict, total=False):
    product: str
    amount: int


class Order(TypedDict):
    lines: list[Line]
    first: Line


def _pydantic() -> Iterator[Written]:
    part = {"name": "nut", "colour": "blue"}
    everything = {
        "part": part,
        "pet": {"kind": "dog", "friend": {"kind": "cat"}},
        "level": "high",
        "at": "2026-01-01T10:00:00Z",
        "day": "2026-01-01",
        "page": {"rows": [part], "next": "x"},
        "key": "8c6c1e6e-6d8b-4b4b-9d0c-3f2d1c1b1a19",
        "code": "B2",
    }
    yield Written("pydantic: many kinds of fields", Everything.model_json_schema(), (everything,))
    leaf = {"value": 1}
    trees = (leaf, {"value": 2, "parent": leaf, "children": [leaf, {"value": 3, "children": []}]})
    yield Written("pydantic: a class in itself", Tree.model_json_schema(), trees)
    yield Written("pydantic: a generic", Page[Part].model_json_schema(), ({"rows": [part]},))
    root = RootModel[Part].model_json_schema()
    yield Written("pydantic: a root model", root, (part, {"name": "x", "price": 1.5}))
    yield Written(
        "pydantic: tuple, dict and Any",
        Open.model_json_schema(),
        ({"point": [1, 2], "counts": {"a": 1}},),
        (
            ("unsupported_keyword", "root.properties.point"),
            ("closed_objects", "root.properties.counts"),
            ("untyped", "root.properties.anything"),
        ),
    )
    many = TypeAdapter(list[Part]).json_schema()
    yield Written("pydantic: a list", many, ([part],), (("root_object", "root"),))


def _pydantic_v1() -> Iterator[Written]:
    old = {"parts": [{}, {"number": 1}], "level": "low", "part": {}}
    yield Written("pydantic v1", Old.schema(), (old, {**old, "short": "abc", "note": "x"}))
    yield Written("pydantic v1: a class in itself", OldTree.schema(), ({"children": [{}]},))


def _python() -> Iterator[Written]:
    home = {"street": "x", "number": 1}
    person = {"name": "a", "home": home, "others": [{"street": "y"}]}
    yield Written("dataclasses", TypeAdapter(Person).json_schema(), (person,))
    order = {"lines": [{"product": "x"}, {}], "first": {"amount": 1}}
    yield Written("TypedDict", TypeAdapter(Order).json_schema(), (order,))


MSGSPEC: dict[str, Any] = {
    "$ref": "#/$defs/Order",
    "$defs": {
        "Order": {
            "title": "Order",
            "type": "object",
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                "pet": {
                    "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
                    "discriminator": {
                        "propertyName": "type",
                        "mapping": {"Cat": "#/$defs/Cat", "Dog": "#/$defs/Dog"},
                    },
                },
                "head": {"$ref": "#/$defs/Node"},
                "note": {
                    "anyOf": [
                        {"description": "short", "type": "string", "maxLength": 10},
                        {"type": "null"},
                    ],
                    "default": None,
                },
                "tags": {
                    "type": "array",
                    "items": {"type": "string"},
                    "uniqueItems": True,
                    "default": [],
                },
            },
            "required": ["id", "items", "pet", "head"],
            "additionalProperties": False,
        },
        "Item": {
            "title": "Item",
            "description": "An item.",
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "price": {"type": "number", "exclusiveMinimum": 0},
                "kind": {"$ref": "#/$defs/Kind", "default": "a"},
            },
            "required": ["name", "price"],
        },
        "Kind": {"title": "Kind", "enum": ["a", "b"]},
        "Cat": {
            "title": "Cat",
            "type": "object",
            "properties": {"type": {"enum": ["Cat"]}, "lives": {"type": "integer"}},
            "required": ["type", "lives"],
        },
        "Dog": {
            "title": "Dog",
            "type": "object",
            "properties": {"type": {"enum": ["Dog"]}, "good": {"type": "boolean"}},
            "required": ["type", "good"],
        },
        "Node": {
            "title": "Node",
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}], "default": None},
            },
            "required": ["value"],
        },
    },
}
MSGSPEC_TUPLES: dict[str, Any] = {
    "$ref": "#/$defs/T",
    "$defs": {
        "T": {
            "title": "T",
            "type": "object",
            "properties": {
                "p": {"$ref": "#/$defs/P"},
                "q": {
                    "type": "array",
                    "minItems": 2,
                    "maxItems": 2,
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "items": False,
                },
            },
            "required": ["p", "q"],
        },
        "P": {
            "title": "P",
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "integer"}],
            "minItems": 2,
        },
    },
}


def _msgspec() -> Iterator[Written]:
    item = {"name": "x", "price": 1}
    order = {
        "id": "8c6c1e6e-6d8b-4b4b-9d0c-3f2d1c1b1a19",
        "items": [item, {**item, "kind": "b"}],
        "pet": {"type": "Dog", "good": True},
        "head": {"value": 1, "next": {"value": 2}},
    }
    yield Written("msgspec", MSGSPEC, (order, {**order, "tags": ["a"], "note": "x"}))
    yield Written(
        "msgspec: array_like and a tuple",
        MSGSPEC_TUPLES,
        ({"p": [1, 2], "q": [1, "a"]},),
        (
            ("unsupported_keyword", "root.$defs.T.properties.q"),
            ("unsupported_keyword", "root.$defs.P"),
        ),
    )


PYTHON = [*_pydantic(), *_pydantic_v1(), *_python(), *_msgspec()]
