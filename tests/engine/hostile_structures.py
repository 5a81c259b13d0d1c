"""Schemas and answers made to hang or crash who judges them; prints what becomes of each.

A process of its own, since a crash of it would be one of the tests, too.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from batches.engine.errors import PromptRejected
from batches.engine.records import LadderOptions, PreparedRequest, Reply, Usage
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.ladder import judge_reply

TREE = {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
LONG = 64 * 1024
MILLION = [1] * 1_000_000


def nested(depth: int, keyword: str) -> Any:
    schema: Any = {"type": "object"}
    for _ in range(depth):
        schema = {keyword: schema}
    return schema


def schemas() -> Iterator[tuple[str, Any, Any]]:
    """A name, a schema, and a value to judge by it."""
    for depth in (100, 2_000, 100_000):
        yield f"schema {depth} levels deep", nested(depth, "items"), []
    for count in (10_000, 50_000):
        properties: dict[str, Any] = {f"p{number}": {} for number in range(count)}
        yield f"{count} properties", {"type": "object", "properties": properties}, {"p1": 1}
    yield "a long enum", {"enum": list(range(40_000))}, -1
    for pattern in ("^(a+)+$", "^(a|a)*$", "(x+x+)+y"):
        yield f"pattern {pattern}", {"pattern": pattern}, "a" * LONG + "!"
    yield "patterns of names", {"patternProperties": {"^(a+)+$": False}}, {"a" * LONG + "!": 1}
    yield from expensive()
    yield "a circle", {"$ref": "#"}, {}
    yield "circles", {"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]}, {}
    yield from doublings()
    branching = {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    chain: Any = {"b": 1}
    for _ in range(190):
        chain = {"a": chain}
    yield "a circle that branches", {**branching, "additionalProperties": False}, chain
    for length in (50, 8_000):
        links = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(length)}
        schema = {"$ref": "#/$defs/d0", "$defs": {**links, f"d{length}": {"type": "null"}}}
        yield f"a chain of {length} references", schema, None
    yield "many faults", {"items": {"type": "integer"}}, ["x"] * 1_000_000
    yield "unique items", {"uniqueItems": True}, [{"a": n} for n in range(20_000)]
    for url in ("http://127.0.0.1:9/x", "file:///etc/passwd", "urn:x"):
        yield f"$ref to {url}", {"$ref": url}, {}


def expensive() -> Iterator[tuple[str, Any, Any]]:
    """What takes gigabytes or hours, part by part as innocent as can be."""
    letters = [{"pattern": rf"^[\p{{L}}\p{{N}}]{{{n}}}$"} for n in range(100, 200)]
    yield "many patterns of many letters", {"anyOf": letters}, "é" * 99
    yield "many patterns", {"anyOf": [{"pattern": f"{n}[ab]"} for n in range(5_000)]}, "a"
    yield "a pattern of many states", {"pattern": "[ab]*a[ab]{9000}c"}, "ab" * 500_000
    yield "a large answer", {"items": {"allOf": [{"minimum": -n} for n in range(3_000)]}}, MILLION
    yield (
        "a long enum of objects",
        {"items": {"enum": [{"k": n} for n in range(18_000)]}},
        ([{"k": 17_999}] * 20_000),
    )
    yield "a long enum, and many faults", {"items": {"enum": list(range(40_000))}}, [-1] * 5_000
    sides = [{"required": [side], "properties": {"a": {"$ref": "#"}}} for side in ("x", "y")]
    value: Any = {}
    for _ in range(190):
        value = {"a": value}
    yield "a circle of alternatives", {"anyOf": sides}, value
    many = [{"required": [f"z{n}"], "properties": {"a": {"$ref": "#"}}} for n in range(300)]
    yield "a circle of many alternatives", {"anyOf": many}, {"a": {"a": {"a": {"a": {}}}}}
    either = {"anyOf": [{"items": {"minimum": n}} for n in range(2, 3_000)]}
    yield "alternatives to a large answer", either, MILLION


def doublings() -> Iterator[tuple[str, Any, Any]]:
    """References that double, by whatever name they are called and in whatever way applied."""
    last: dict[str, Any] = {"d40": {"type": "null"}}
    for keyword in ("allOf", "anyOf", "oneOf"):
        twice = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
        yield f"doubling by {keyword}", {"$ref": "#/$defs/d0", "$defs": {**twice, **last}}, 1
    anchored = {
        f"d{n}": {"$anchor": f"a{n}", "allOf": [{"$ref": f"#a{n + 1}"}] * 2} for n in range(40)
    }
    end: dict[str, Any] = {"d40": {"$anchor": "a40", "type": "null"}}
    yield "doubling by anchors", {"$ref": "#a0", "$defs": {**anchored, **end}}, 1
    base = "https://example.com/"
    addressed = {
        f"d{n}": {"$id": f"{base}i{n}", "allOf": [{"$ref": f"i{n + 1}"}] * 2} for n in range(40)
    }
    end = {"d40": {"$id": f"{base}i40", "type": "null"}}
    yield "doubling by ids", {"$ref": f"{base}i0", "$defs": {**addressed, **end}}, 1
    yield "doubling by ids that data has too", *behind_data(addressed, end)
    spelled = {
        f"d{n}": {"$id": f"{base}i{n}", "allOf": [{"$ref": f"https://EXAMPLE.com/i{n + 1}"}] * 2}
        for n in range(40)
    }
    yield "doubling by ids in capitals", {"$ref": f"{base}i0", "$defs": {**spelled, **end}}, 1
    yield "doubling by dynamic anchors", doubling_dynamically(), 1
    escaped = {f"d/{n}": {"allOf": [{"$ref": f"#/$defs/d~1{n + 1}"}] * 2} for n in range(40)}
    end = {"d/40": {"type": "null"}}
    yield "doubling by escapes", {"$ref": "#/$defs/d~10", "$defs": {**escaped, **end}}, 1
    names = {
        f"d{n}": {"patternProperties": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}}
        for n in range(40)
    }
    value: Any = 1
    for _ in range(40):
        value = {"ab": value}
    yield "doubling by names", {"$ref": "#/$defs/d0", "$defs": {**names, **last}}, value
    needed = {
        f"d{n}": {"dependencies": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}}
        for n in range(40)
    }
    yield (
        "doubling by dependencies",
        {"$ref": "#/$defs/d0", "$defs": {**needed, **last}},
        {"a": 1, "b": 1},
    )
    ring = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{(n + 1) % 40}"}] * 2} for n in range(40)}
    yield "doubling in a ring", {"$ref": "#/$defs/d0", "$defs": ring}, 1


def behind_data(definitions: dict[str, Any], end: dict[str, Any]) -> tuple[Any, Any]:
    """The same, in a schema with data before it that looks like small schemas of these ids."""
    decoys = [{"$id": definition["$id"]} for definition in (definitions | end).values()]
    schema = {"$ref": definitions["d0"]["$id"], "$defs": definitions | end, "enum": [*decoys, 1]}
    return dict(sorted(schema.items(), reverse=True)), 1


def doubling_dynamically() -> Any:
    """References that seem to lead to something small, and lead elsewhere as they are followed."""
    inner: dict[str, Any] = {
        f"d{n}": {
            "$id": f"r{n}",
            "allOf": [{"$dynamicRef": f"#x{n + 1}"}] * 2,
            "$defs": {"small": {"$dynamicAnchor": f"x{n + 1}"}},
        }
        for n in range(40)
    }
    outer = {f"o{n}": {"$dynamicAnchor": f"x{n}", "$ref": f"r{n}"} for n in range(1, 41)}
    last = {"d40": {"$id": "r40", "type": "null"}}
    return {"$id": "https://example.com/", "$ref": "r0", "$defs": {**inner, **outer, **last}}


def answers() -> Iterator[tuple[str, str]]:
    """A name, and an answer to a schema that refers to itself."""
    for depth in (150, 5_000, 50_000):
        yield f"answer {depth} levels deep", '{"a":' * depth + "{}" + "}" * depth
        yield f"broken answer {depth} levels deep", '{"a":' * depth
        yield f"deep list of {depth}", "[" * depth + "]" * depth
    pieces = ["[", '{"', '["a"', "{'a': '", '{"a": "b" "c" ', "{a:", "{```", "[,", "[/*", '["\\']
    pieces += ['a" b', '{"a":[}', '{"a"}', "[1}", "(a,", "{“a”:", '{"a":1,"a"', "[1-", "```json{"]
    for piece in pieces:
        for size in (LONG, 16 * LONG):
            yield f"{size} characters of {piece}", "{" + piece * (size // len(piece))
    # Marks of thoughts: at each of them everything before it might be looked at again.
    marked = ["<think>", "</think>", '{"a" <think>', '{"a" "<think>', "[1 2]<think>x</think>"]
    marked += [
        "<think ",
        "<|channel|>a ",
        '"<|channel|>final<|message|>{"a',
        '{"a":1} ',
        "{'a':'} ",
    ]
    for piece in marked:
        many = piece * (8 * LONG // len(piece) - 10)
        yield f"many characters of {piece}, then a mark", f"{many}</think>{{}}"
        yield f"a mark, then many characters of {piece}", f"x</think>{many}"
    for end in ("", "\\"):
        yield f"an open string of escapes{end}", '{"a": "' + '\\"' * 8 * LONG + end
        yield f"a short one{end}", '{"a": "' + '\\"' * (LONG // 3) + end
    yield "many numbers", "[" + "1" * 4 * LONG
    yield "blanks", '{"a":' + " " * 16 * LONG


def judged(answer: str) -> str:
    request = PreparedRequest(
        index=0,
        custom_id="a",
        endpoint="/v1/chat/completions",
        content=b'{"messages":[]}',
        response_model=response_model(TREE),
    )
    reply = Reply(200, "", "{}", answer, "stop", None, Usage())
    judgement = judge_reply(request, reply, LadderOptions())
    return judgement.fault.kind.value if judgement.fault else "accepted"


def compiled(schema: Any, value: Any) -> str:
    try:
        model = response_model(schema)
    except PromptRejected:
        return "refused"
    try:
        model.model_validate(value)
    except ValueError:
        return "forbidden"
    return "accepted"


def main() -> None:
    sys.setrecursionlimit(1000)
    for name, schema, value in schemas():
        print(json.dumps([name, compiled(schema, value)]), flush=True)
    for name, answer in answers():
        print(json.dumps([name, judged(answer)]), flush=True)


if __name__ == "__main__":
    main()
