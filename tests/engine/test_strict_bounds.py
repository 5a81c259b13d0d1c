"""The strict form stays small and takes little work, whatever its references multiply to."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from batches.engine.schemas.strict_form import MAX_INLINED, strict_form, strict_schema
from tests.engine.strict_checker import faults
from tests.engine.test_strict import closed

# Without a bound each of these takes for ever.
MOST_CALLS = 20_000_000
LEVELS = 40


def noted(name: str, note: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}", "description": note}


def doubling(join: Any, levels: int = LEVELS) -> dict[str, Any]:
    """Each definition has the next one twice."""
    defined = {f"d{n}": join(f"d{n + 1}") for n in range(levels)}
    return {**closed(a=noted("d0", "all")), "$defs": {**defined, f"d{levels}": closed()}}


def clique(size: int = 30) -> dict[str, Any]:
    """Each definition has all others, so that there are more ways than can be counted."""
    names = [f"d{n}" for n in range(size)]
    defined = {one: closed(**{to: noted(to, f"{one} {to}") for to in names}) for one in names}
    return {**closed(a=noted("d0", "all")), "$defs": defined}


@contextmanager
def few_calls() -> Iterator[list[int]]:
    """Fail if the block takes too much work, counted in calls of functions: not by the clock."""
    calls = [0]

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        calls[0] += event in ("call", "c_call")
        assert calls[0] <= MOST_CALLS, "it takes too much work"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


HOSTILE = {
    "notes beside references": doubling(lambda n: closed(x=noted(n, "one"), y=noted(n, "two"))),
    "merged alternatives": doubling(
        lambda n: {
            **closed(x={"$ref": f"#/$defs/{n}"}),
            "anyOf": [{"properties": {"y": noted(n, str(k))}} for k in range(4)],
        }
    ),
    "allOf": doubling(
        lambda n: {"allOf": [{"$ref": f"#/$defs/{n}"}, closed(**{n: noted(n, "one")})]}
    ),
    "products of alternatives": doubling(
        lambda n: {"allOf": [{"anyOf": [{"$ref": f"#/$defs/{n}"}, closed(x=True)]}] * 4}
    ),
    "a clique": clique(),
    "a long chain of notes": doubling(lambda n: closed(x=noted(n, "one")), 300),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_multiplies_is_bounded(name: str) -> None:
    with few_calls():
        form = strict_form(HOSTILE[name])
    assert len(json.dumps(form.schema)) < 400 * MAX_INLINED
    assert bool(form.problems) == bool(faults(form.schema))


def test_notes_are_left_out_if_the_form_would_be_too_large_with_them() -> None:
    form = strict_form(HOSTILE["a long chain of notes"])
    assert form.problems == ()
    assert faults(form.schema) == []


def test_a_note_is_left_out_where_it_would_have_no_end() -> None:
    node = closed(next=noted("node", "The one below."))
    form: Any = strict_schema({**closed(first=noted("node", "The top.")), "$defs": {"node": node}})
    assert form["properties"]["first"]["description"] == "The top."
    assert form["properties"]["first"]["properties"] == {"next": {"$ref": "#/$defs/node"}}
    assert form["$defs"]["node"]["properties"] == {"next": {"$ref": "#/$defs/node"}}
