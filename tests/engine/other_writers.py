"""Schemas of Java, Kotlin, C#, Go and Rust, and those by hand, with values that fit."""

from collections.abc import Iterator
from typing import Any

from tests.engine.python_writers import Written

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
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


OTHERS = [*_others(), *_by_hand()]
