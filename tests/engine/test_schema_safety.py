import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.schemas.keywords import Schema
from batches.engine.schemas.schemas import MAX_SCHEMA_BYTES, response_model
from tests.engine.makers import accepts


def nested(depth: int, keyword: str) -> Any:
    schema: Any = {"type": "object"}
    for _ in range(depth):
        schema = {keyword: schema}
    return schema


@pytest.mark.parametrize("keyword", ["not", "items", "contains"])
@pytest.mark.parametrize("depth", [300, 2000])
def test_a_schema_nested_too_deep_is_refused(keyword: str, depth: int) -> None:
    with pytest.raises(PromptRejected, match="not a JSON Schema"):
        response_model(nested(depth, keyword))


def test_a_schema_too_long_is_refused_with_the_limit() -> None:
    assert accepts({"description": "x" * (MAX_SCHEMA_BYTES - 100)}, 1)
    with pytest.raises(PromptRejected, match=str(MAX_SCHEMA_BYTES)):
        response_model({"description": "x" * MAX_SCHEMA_BYTES})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"not": {"$ref": "#"}},
        {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
    ],
    ids=str,
)
def test_a_schema_that_turns_in_a_circle_comes_to_an_end(schema: Schema) -> None:
    assert accepts(schema, {"a": 1}) in (True, False)


@pytest.mark.parametrize(
    ("named", "reference"),
    [({"$anchor": "n"}, "#n"), ({"$id": "urn:n"}, "urn:n"), ({"$dynamicAnchor": "n"}, "#n")],
)
@pytest.mark.parametrize("first", ["a", "z"])
def test_a_name_of_two_schemas_is_refused(
    named: dict[str, str], reference: str, first: str
) -> None:
    """One of them could multiply its references, unseen behind the other."""
    definitions: dict[str, Any] = {first: {**named, "type": "object"}}
    definitions["m"] = {**named, "allOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}]}
    definitions["x"] = {"type": "object"}
    with pytest.raises(PromptRejected, match="names two different schemas"):
        response_model({"$ref": reference, "$defs": definitions})


def test_equal_schemas_may_have_the_same_name() -> None:
    twin = {"$id": "urn:n", "type": "integer"}
    schema = {"properties": {"a": twin, "b": {**twin}, "c": {"$ref": "urn:n"}}}
    assert accepts(schema, {"a": 1, "b": 2, "c": 3})
    assert not accepts(schema, {"c": "x"})


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(x+x+)+y", "^(a|aa)+$"])
def test_a_pattern_that_makes_others_backtrack_is_decided_at_once(pattern: str) -> None:
    # A backtracking matcher needs 2^30 steps for these, a linear one none to speak of.
    for text in ("a" * 30 + "!", "x" * 30, "a" * 100_000 + "!"):
        assert not accepts({"type": "string", "pattern": pattern}, text)
        assert accepts({"patternProperties": {pattern: False}}, {text: 1})


@pytest.mark.parametrize("pattern", ["((a{1000}){1000}){1000}", "(?=a", "(?=(a{9999}){9999})", "("])
def test_a_pattern_that_is_none_or_takes_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(PromptRejected, match="regex"):
        response_model({"type": "string", "pattern": pattern})


# What pydantic writes for a Decimal, and for one of five digits with two places.
DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
BOUNDED = r"^(?!^[-+.]*$)[+-]?0*(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*)$"


@pytest.mark.parametrize("pattern", [DECIMAL, BOUNDED])
def test_the_look_ahead_that_pydantic_writes_for_decimals_is_obeyed(pattern: str) -> None:
    price: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": pattern}]}
    schema: Schema = {"type": "object", "properties": {"price": price}}
    for good in (1.5, "1.50", "-12.3", "+0", "000.10"):
        assert accepts(schema, {"price": good})
    for wrong in ("", "-", "+.", "free", None):
        assert not accepts(schema, {"price": wrong})


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^(?=.*[A-Z])(?=.*\\d).{8,}$", "Passw0rd", "password"),
        ("^(?!.*secret).*$", "open", "a secret"),
        ("(?<=USD )\\d+", "USD 12", "EUR 12"),
        ("(?<!a)b", "cb", "ab"),
        (r"^(['\"]).*\1$", "'a'", "'a\""),
    ],
)
def test_look_around_and_back_references_are_obeyed(pattern: str, good: str, bad: str) -> None:
    schema: Schema = {"type": "string", "pattern": pattern}
    assert accepts(schema, good)
    assert not accepts(schema, bad)


@pytest.mark.parametrize("pattern", ["(?=.*x)y", "(?=a)(a|a)*$(?!)", r"(a*)*\1x"])
def test_a_pattern_that_is_tried_takes_no_more_steps_than_are_allowed(pattern: str) -> None:
    # Without a bound on the steps these take longer than the test may.
    schema: Schema = {"type": "string", "pattern": pattern}
    for text in ("a" * 100_000, "ab" * 50_000):
        assert not accepts(schema, text)
    with pytest.raises(ValidationError, match="too large to be checked"):
        response_model(schema).model_validate("a" * 1_000_000)


class Canary:
    """A listener on the loopback that counts who comes."""

    def __init__(self) -> None:
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if connection.recv(1) == b"!":
                    return
                self.hits += 1
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def hits_so_far(self) -> int:
        """The hits until now; whoever came before us in the queue has been counted."""
        with socket.create_connection(self._socket.getsockname()) as connection:
            connection.sendall(b"!")
            self._thread.join(timeout=10)
        return self.hits

    def close(self) -> None:
        if self._thread.is_alive():
            self.hits_so_far()
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    listener = Canary()
    yield listener
    listener.close()


def test_the_canary_would_notice(canary: Canary) -> None:
    with socket.create_connection(("127.0.0.1", int(canary.address.partition(":")[2]))) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert caller.recv(4) == b"HTTP"
    assert canary.hits_so_far() == 1


def test_no_reference_is_ever_fetched(canary: Canary) -> None:
    base = f"http://{canary.address}"
    refused: list[Schema] = [
        {"$ref": f"{base}/a.json"},
        {"$id": f"{base}/b.json", "$ref": "c.json"},
        {"type": "object", "properties": {"a": {"$ref": f"{base}/d.json#/x"}}},
        {"$dynamicRef": f"{base}/e.json"},
        {"$defs": {"unused": {"$ref": f"{base}/f.json"}}},
    ]
    for schema in refused:
        with pytest.raises(PromptRejected):
            response_model(schema)
    for schema in ({"$schema": f"{base}/g.json"}, {"$id": f"{base}/h.json", "type": "string"}):
        try:
            accepts(schema, "a")
        except PromptRejected:
            continue
    assert canary.hits_so_far() == 0


def test_a_reference_to_a_file_is_refused_although_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "integer"}')
    with pytest.raises(PromptRejected, match="not a JSON Schema"):
        response_model({"$ref": path.as_uri()})
