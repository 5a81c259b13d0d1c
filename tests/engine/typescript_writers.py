"""Schemas as TypeScript libraries write them, with values that fit."""

from collections.abc import Iterator
from typing import Any

from tests.engine.python_writers import Written

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


TYPESCRIPT = [*_zod(), *_typescript()]
