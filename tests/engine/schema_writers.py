"""Schemas as the generators of several languages write them, with values that fit."""

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
    short: pydantic.v1.constr(min_length=1, regex="^a") = "a"  # type: ignore[valid-type]


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


DRAFT_7 = "http://json-schema.org/draft-07/schema#"
ZOD_3: dict[str, Any] = {
    "$schema": DRAFT_7,
    "type": "object",
    "properties": {
        "home": {
            "type": "object",
            "properties": {"street": {"type": "string", "minLength": 1}},
            "required": ["street"],
            "additionalProperties": False,
        },
        "work": {"$ref": "#/properties/home"},
        "either": {"anyOf": [{"type": "string"}, {"$ref": "#/properties/home"}]},
        "street": {"$ref": "#/properties/home/properties/street"},
        "last": {"$ref": "#/properties/either/anyOf/0"},
        "children": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {
                        "type": "array",
                        "items": {"$ref": "#/properties/children/items"},
                    },
                },
                "required": ["name", "children"],
                "additionalProperties": False,
            },
        },
        "kind": {"type": "string", "const": "a"},
        "mail": {"type": "string", "format": "email"},
        "page": {"type": "string", "format": "uri"},
        "maybe": {"type": ["number", "null"]},
        "both": {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "number"}}, "required": ["b"]},
            ]
        },
    },
    "required": ["home", "work", "either", "children", "kind", "maybe", "both"],
    "additionalProperties": False,
}
ZOD_3_NAMED: dict[str, Any] = {
    "$ref": "#/definitions/Answer",
    "definitions": {
        "Answer": {
            "type": "object",
            "properties": {
                "next": {"$ref": "#/definitions/Answer"},
                "text": {"type": "string", "description": "What is said."},
                "of": {"$ref": "#/definitions/Answer/properties/text"},
            },
            "required": ["text"],
            "additionalProperties": False,
        }
    },
    "$schema": DRAFT_7,
}
ZOD_3_OPEN: dict[str, Any] = {
    "$schema": DRAFT_7,
    "type": "object",
    "properties": {
        "pair": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": [{"type": "string"}, {"type": "number"}],
        },
        "first": {"$ref": "#/properties/pair/items/0"},
        "record": {"type": "object", "additionalProperties": {"type": "string"}},
        "loose": {"type": "object", "properties": {}, "additionalProperties": True},
        "unknown": {},
    },
    "required": ["pair", "first", "record", "loose"],
    "additionalProperties": False,
}
ZOD_4: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "id": "Node",
            "type": "object",
            "properties": {
                "email": {
                    "type": "string",
                    "format": "email",
                    "pattern": r"^[A-Za-z0-9_'+\-\.]*[A-Za-z0-9_+-]@[a-z]+$",
                },
                "n": {
                    "type": "integer",
                    "minimum": -9007199254740991,
                    "maximum": 9007199254740991,
                },
                "state": {"default": "on", "type": "string", "enum": ["on", "off"]},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "shape": {
                    "oneOf": [
                        {
                            "type": "object",
                            "properties": {
                                "t": {"type": "string", "const": "dot"},
                                "at": {"type": "number"},
                            },
                            "required": ["t", "at"],
                            "additionalProperties": False,
                        },
                        {
                            "type": "object",
                            "properties": {"t": {"type": "string", "const": "none"}},
                            "required": ["t"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
            "required": ["email", "n", "state", "next", "shape"],
            "additionalProperties": False,
        }
    },
}


def _zod() -> Iterator[Written]:
    home = {"street": "x"}
    child = {"name": "a", "children": [{"name": "b", "children": []}]}
    value = {
        "home": home,
        "work": home,
        "either": home,
        "children": [child],
        "kind": "a",
        "maybe": None,
        "both": {"a": 1, "b": 2},
    }
    more = {**value, "street": "y", "last": "z", "mail": "a@b.c", "page": "http://x/"}
    yield Written("zod-to-json-schema", ZOD_3, (value, more))
    named = ({"text": "x"}, {"text": "x", "of": "y", "next": {"text": "z"}})
    yield Written("zod-to-json-schema with a name", ZOD_3_NAMED, named)
    loose = {"pair": ["a", 1], "first": "a", "record": {"a": "b"}, "loose": {"a": 1}}
    yield Written(
        "zod-to-json-schema: tuple, record, passthrough and unknown",
        ZOD_3_OPEN,
        (loose, {**loose, "unknown": 1}),
        (
            ("unsupported_keyword", "root.properties.pair"),
            ("closed_objects", "root.properties.record"),
            ("closed_objects", "root.properties.loose"),
            ("untyped", "root.properties.unknown"),
        ),
    )
    last = {"email": "a@b", "n": 1, "state": "on", "next": None, "shape": {"t": "none"}}
    node = {**last, "next": last, "shape": {"t": "dot", "at": 1.5}}
    yield Written("zod 4", ZOD_4, (node,))


TYPEBOX: dict[str, Any] = {
    "$defs": {
        "Node": {
            "$id": "Node",
            "type": "object",
            "required": ["id", "nodes"],
            "properties": {
                "id": {"type": "string"},
                "nodes": {"type": "array", "items": {"$ref": "Node"}},
            },
        }
    },
    "type": "object",
    "required": ["tree", "level"],
    "properties": {
        "tree": {"$ref": "Node"},
        "level": {
            "anyOf": [{"const": "low", "type": "string"}, {"const": "high", "type": "string"}]
        },
        "size": {
            "allOf": [
                {"type": "object", "properties": {"w": {"type": "number"}}, "required": ["w"]},
                {"type": "object", "properties": {"h": {"type": "number"}}},
            ],
            "unevaluatedProperties": False,
        },
    },
}
VALIBOT: dict[str, Any] = {
    "$schema": DRAFT_7,
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 50},
        "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "role": {"enum": ["admin", "user"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "kind": {"const": "person"},
        "list": {"$ref": "#/definitions/list"},
    },
    "required": ["name", "age", "role", "kind"],
    "definitions": {
        "list": {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {
                        "head": {"type": "number"},
                        "tail": {"$ref": "#/definitions/list"},
                    },
                    "required": ["head", "tail"],
                },
            ]
        }
    },
}


def _typescript() -> Iterator[Written]:
    tree = {"id": "a", "nodes": [{"id": "b", "nodes": []}]}
    full = {"tree": tree, "level": "high", "size": {"w": 1}}
    yield Written("TypeBox", TYPEBOX, ({"tree": tree, "level": "low"}, full))
    person = {"name": "a", "age": None, "role": "user", "kind": "person"}
    linked = {**person, "list": {"head": 1, "tail": {"head": 2, "tail": None}}}
    yield Written("valibot", VALIBOT, (person, {**linked, "age": 3, "tags": ["x"]}))


VICTOOLS: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "List(Item)": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "Item-nullable": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Item"}]},
        "Item": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "The name."},
                "parent": {"$ref": "#/$defs/Item-nullable", "description": "The one above."},
            },
            "required": ["name"],
        },
    },
    "type": "object",
    "properties": {
        "items": {"$ref": "#/$defs/List(Item)", "description": "All of them."},
        "more": {"$ref": "#/$defs/List%28Item%29"},
        "best": {
            "allOf": [{"$ref": "#/$defs/Item"}, {"description": "The best of them."}],
        },
        "state": {"type": "string", "enum": ["ON", "OFF"]},
    },
}
SYSTEM_TEXT_JSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "x": {
            "type": "array",
            "items": {
                "type": ["object", "null"],
                "properties": {
                    "name": {"type": ["string", "null"]},
                    "size": {"type": ["string", "integer"], "pattern": "^-?(?:0|[1-9]\\d*)$"},
                },
                "required": ["name"],
            },
        },
        "y": {"type": "array", "items": {"$ref": "#/properties/x/items"}},
        "shape": {
            "type": "object",
            "required": ["$type"],
            "anyOf": [
                {
                    "properties": {
                        "$type": {"const": "circle"},
                        "radius": {"type": "number"},
                        "colour": {"enum": ["Red", "Blue"]},
                    },
                    "required": ["radius"],
                },
                {"properties": {"$type": {"const": "square"}, "side": {"type": "number"}}},
            ],
        },
        "self": {"$ref": "#"},
        "amount": {"type": "integer", "default": 3},
    },
    "required": ["x", "y"],
}
NJSONSCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "title": "Person",
    "type": "object",
    "additionalProperties": False,
    "required": ["FirstName"],
    "properties": {
        "FirstName": {"type": "string", "minLength": 1},
        "Age": {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMinimum": True},
        "Gender": {"oneOf": [{"$ref": "#/definitions/Gender"}]},
        "Boss": {"oneOf": [{"type": "null"}, {"$ref": "#/definitions/Manager"}]},
    },
    "definitions": {
        "Gender": {
            "type": "integer",
            "description": "",
            "x-enumNames": ["Male", "Female"],
            "enum": [0, 1],
        },
        "Manager": {
            "allOf": [
                {"$ref": "#/definitions/Employee"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "Reports": {
                            "type": "array",
                            "items": {"$ref": "#/definitions/Employee"},
                        }
                    },
                },
            ]
        },
        "Employee": {"type": "object", "properties": {"Id": {"type": "string", "format": "guid"}}},
    },
}
INVOPOP: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/shop/order",
    "$ref": "#/$defs/Order",
    "$defs": {
        "Order": {
            "properties": {
                "id": {"type": "integer"},
                "lines": {"items": {"$ref": "#/$defs/Line"}, "type": "array"},
                "of": {"$ref": "#/$defs/shop~1Customer", "description": "Who orders."},
                "same": {"$ref": "order#/$defs/Line"},
            },
            "additionalProperties": False,
            "type": "object",
            "required": ["id", "lines", "of"],
        },
        "Line": {
            "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
            "additionalProperties": False,
            "type": "object",
            "required": ["sku"],
        },
        "shop/Customer": {
            "properties": {"name": {"type": "string", "examples": ["Ann"]}},
            "additionalProperties": False,
            "type": "object",
            "required": ["name"],
        },
    },
}
SCHEMARS_08: dict[str, Any] = {
    "$schema": DRAFT_7,
    "title": "Config",
    "type": "object",
    "required": ["mode", "size"],
    "properties": {
        "mode": {"description": "How.", "allOf": [{"$ref": "#/definitions/Mode"}]},
        "size": {"type": "integer", "format": "uint32", "minimum": 0.0},
        "inner": {"anyOf": [{"$ref": "#/definitions/Inner"}, {"type": "null"}]},
        "ratio": {"default": 0.5, "type": "number", "format": "double"},
    },
    "definitions": {
        "Inner": {
            "type": "object",
            "properties": {
                "deep": {"anyOf": [{"$ref": "#/definitions/Inner"}, {"type": "null"}]},
            },
        },
        "Mode": {
            "oneOf": [
                {"type": "string", "enum": ["fast", "slow"]},
                {
                    "description": "Another.",
                    "type": "object",
                    "required": ["custom"],
                    "properties": {"custom": {"type": "integer", "format": "int64"}},
                    "additionalProperties": False,
                },
            ]
        },
    },
}
SCHEMARS_1: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Event",
    "oneOf": [
        {
            "type": "object",
            "properties": {"type": {"type": "string", "const": "one"}, "n": {"type": "integer"}},
            "required": ["type"],
            "$defs": {"Loose": {"type": "array"}},
        }
    ],
}
SCHEMARS_TAGGED: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Event",
    "oneOf": [
        {
            "type": "object",
            "properties": {"type": {"type": "string", "const": kind}},
            "required": ["type"],
        }
        for kind in ("one", "two")
    ],
}
QUICKTYPE: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-06/schema#",
    "$ref": "#/definitions/Welcome",
    "definitions": {
        "Welcome": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "greeting": {"type": "string"},
                "at": {"type": "string", "format": "date-time"},
                "instructions": {"type": "array", "items": {"$ref": "#/definitions/Instruction"}},
                "site": {"type": "string", "format": "uri", "qt-uri-protocols": ["https"]},
            },
            "required": ["at", "greeting", "instructions"],
            "title": "Welcome",
        },
        "Instruction": {
            "anyOf": [{"type": "integer"}, {"type": "string"}, {"$ref": "#/definitions/Step"}],
            "title": "Instruction",
        },
        "Step": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"do": {"type": "string"}},
            "required": [],
            "title": "Step",
        },
    },
}
HAND_04: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "id": "http://example.com/root.json",
    "type": "object",
    "properties": {
        "price": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "kind": {"enum": ["a", "b", None]},
        "billing": {"$ref": "#/definitions/address", "title": "Where the bill goes"},
        "contact": {
            "properties": {"mail": {"type": "string"}, "phone": {"type": "string"}},
            "anyOf": [{"required": ["mail"]}, {"required": ["phone"]}],
        },
    },
    "required": ["price"],
    "dependencies": {"kind": ["billing"]},
    "definitions": {
        "address": {"properties": {"street": {"type": "string"}}, "required": ["street"]}
    },
}
HAND_07: dict[str, Any] = {
    "$schema": DRAFT_7,
    "$comment": "By hand.",
    "type": "object",
    "properties": {
        "country": {"enum": ["US", "NL"]},
        "code": {"type": "string"},
        "here": {"$ref": "#place"},
        "there": {"$ref": "#/definitions/place"},
        "never": False,
    },
    "required": ["country"],
    "if": {"properties": {"country": {"const": "US"}}},
    "then": {"properties": {"code": {"pattern": "^[0-9]{5}$"}}},
    "else": {"required": ["code"]},
    "definitions": {
        "place": {"$id": "#place", "type": "object", "properties": {"lat": {"type": "number"}}}
    },
}
HAND_OPEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"type": "string"},
        "headers": {"type": "object", "patternProperties": {"^x-": {"type": "string"}}},
        "undeclared": {"type": "object", "required": ["a"]},
        "list": {"type": "array"},
        "node": {
            "type": "object",
            "properties": {"kind": {"type": "string"}},
            "if": {"properties": {"kind": {"const": "file"}}},
            "then": {"properties": {"size": {"type": "integer"}}, "required": ["size"]},
        },
    },
}


def _others() -> Iterator[Written]:
    item = {"name": "a", "parent": {"name": "b"}}
    items = {"items": [item], "more": [], "best": item, "state": "ON"}
    yield Written("victools (Java, Kotlin)", VICTOOLS, ({}, items))
    a, b = {"name": None, "size": 3}, {"name": "b"}
    circle = {"$type": "circle", "radius": 1, "colour": "Red"}
    exported = {"x": [a, None], "y": [b], "shape": circle, "self": {"x": [], "y": []}}
    yield Written("System.Text.Json (C#)", SYSTEM_TEXT_JSON, ({"x": [], "y": []}, exported))
    yield Written(
        "NJsonSchema (C#)",
        NJSONSCHEMA,
        ({"FirstName": "a"}, {"FirstName": "a", "Age": 1, "Gender": 1, "Boss": {}}),
    )
    order = {"id": 1, "lines": [{"sku": "a"}, {"sku": "b", "n": 2}], "of": {"name": "Ann"}}
    yield Written("invopop/jsonschema (Go)", INVOPOP, (order, {**order, "same": {"sku": "c"}}))
    inner: dict[str, Any] = {"deep": {"deep": {}}}
    config = ({"mode": "fast", "size": 1}, {"mode": {"custom": 1}, "size": 2, "inner": inner})
    yield Written("schemars 0.8 (Rust)", SCHEMARS_08, config)
    yield Written("schemars 1.0 (Rust)", SCHEMARS_1, ({"type": "one"}, {"type": "one", "n": 1}))
    tagged = ({"type": "one"}, {"type": "two"})
    problem = ("root_object", "root")
    yield Written("schemars 1.0: a tagged enum", SCHEMARS_TAGGED, tagged, (problem,))
    hello = {"greeting": "hi", "at": "2026-01-01T10:00:00Z", "instructions": [1, "a", {"do": "x"}]}
    yield Written("quicktype", QUICKTYPE, (hello, {**hello, "site": "https://x/"}))


def _by_hand() -> Iterator[Written]:
    four = ({"price": 1}, {"price": 1, "kind": "a", "billing": {"street": "x"}})
    phoned = {"price": 1, "contact": {"phone": "1"}, "billing": {"street": "x"}, "kind": None}
    yield Written("by hand, draft 04", HAND_04, (*four, phoned))
    place = {"country": "US", "code": "12345", "here": {"lat": 1}, "there": {}}
    yield Written("by hand, draft 07", HAND_07, ({"country": "NL", "code": "x"}, place))
    yield Written(
        "by hand, with open ends",
        HAND_OPEN,
        ({"headers": {"x-a": "b"}, "undeclared": {"a": 1}, "list": [1]},),
        (
            ("unsupported_keyword", "root.properties.headers"),
            ("untyped", "root.properties.undeclared.properties.a"),
            ("untyped", "root.properties.list"),
            ("unsupported_keyword", "root.properties.node"),
        ),
    )


# As pydantic wrote a Decimal from 2.12 on, with a look-ahead, and as it is written by hand.
LOOKING_AROUND = [
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
    "^(?=.{3,})a",
    "(?<=a)b",
    "(?<!a)b",
    r"^(['\"]).*\1$",
]
PLAIN_PATTERNS = [
    r"^\(?=[(?=!]+$",
    "^[(?!)]$",
    "^(?:a|b)$",
    "^(?i:a)$",
    r"\\(?P<n>a)",
    r"^[\](?=]$",
]


WRITTEN = [
    *_pydantic(),
    *_pydantic_v1(),
    *_python(),
    *_msgspec(),
    *_zod(),
    *_typescript(),
    *_others(),
    *_by_hand(),
]
