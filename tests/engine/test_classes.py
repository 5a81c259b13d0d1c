"""A Python type is asked for as a schema, and answers come back as values of the type."""

import enum
import json
import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypeVar,
)

import pytest
from pydantic import AliasChoices, BaseModel, Field, RootModel, TypeAdapter
from typing_extensions import TypeAliasType, TypedDict

from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.prepare import with_response_class
from batches.engine.structured.classes import class_model, type_name
from tests.engine.makers import MODEL
from tests.engine.strict_checker import faults
from tests.engine.test_ask_again import Script

CHAT = "/v1/chat/completions"
LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
T = TypeVar("T")


class City(BaseModel):
    name: str
    people: int = 3


class Village(BaseModel):
    name: str
    mayor: "Village | None" = None


class Cities(RootModel[list[City]]):
    pass


class Page(BaseModel, Generic[T]):
    rows: list[T]


class Named(BaseModel):
    city: City = Field(validation_alias=AliasChoices("city", "town"))


class Decided(BaseModel):
    price: Decimal
    # As pydantic wrote a Decimal from 2.12 on: no pattern that is compiled here, or in strict mode.
    code: Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)a"})] = "a"


class Loose(Decided):
    counts: dict[str, int] = {}


@dataclass
class Place:
    name: str
    size: int | None = None
    tags: list[str] = field(default_factory=list)


class Row(TypedDict):
    name: str
    size: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str = "x"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


Rows = TypeAliasType("Rows", list[Row])
Count = NewType("Count", int)
ULM, ULM_JSON = City(name="Ulm"), {"name": "Ulm"}

# The type, the JSON of an answer, the value, and whether it is asked for in the strict mode.
TAKEN: list[tuple[Any, Any, Any, bool]] = [
    (City, {"name": "Ulm", "people": None}, ULM, True),
    (Village, {"name": "a", "mayor": {"name": "b"}}, None, True),
    (Page[City], {"rows": [ULM_JSON]}, Page[City](rows=[ULM]), True),
    (Named, {"city": ULM_JSON}, None, True),
    (Decided, {"price": "1.5", "code": None}, Decided(price=Decimal("1.5")), True),
    (Loose, {"price": 1, "counts": {"a": 1}}, None, False),
    (Place, {"name": "a", "size": None, "tags": None}, Place("a"), True),
    (Row, {"name": "a", "size": None}, {"name": "a"}, True),
    (Annotated[City, Field(description="One.")], ULM_JSON, ULM, True),
    (dict[str, City], {"a": ULM_JSON}, {"a": ULM}, False),
]
# The same of types whose JSON is no object.
WRAPPED: list[tuple[Any, Any, Any, bool]] = [
    (Cities, [ULM_JSON], Cities([ULM]), True),
    (list[City], [{"name": "Ulm", "people": None}], [ULM], True),
    (Annotated[list[City], Field(min_length=1)], [ULM_JSON], [ULM], True),
    (Rows, [{"name": "a", "size": None}], [{"name": "a"}], True),
    (Pair, [1, "a"], Pair(1, "a"), False),
    (tuple[int, str], [1, "a"], (1, "a"), False),
    (set[int], [1, 2], {1, 2}, True),
    (Colour, "red", Colour.RED, True),
    (Literal["low", 3], "low", "low", True),
    (City | Place, ULM_JSON, None, True),
    (Optional[City], None, None, True),  # noqa: UP045 - as it may be written
    (Count, 5, Count(5), True),
    (bool, True, True, True),
    (date, "2026-01-01", date(2026, 1, 1), True),
    (Any, [1, {"a": 2}], [1, {"a": 2}], False),
]


def asked(script: Script) -> dict[str, Any]:
    described: dict[str, Any] = script.sent[0]["response_format"]["json_schema"]
    return described


@pytest.mark.parametrize(("kind", "answer", "value", "strict"), TAKEN, ids=str)
async def test_a_type_of_objects_is_asked_for_as_it_is(
    kind: Any, answer: Any, value: Any, *, strict: bool
) -> None:
    script = Script(json.dumps(answer))
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=kind)
    assert outcome.kind is None, outcome.message
    assert outcome.parsed == (TypeAdapter(kind).validate_python(answer) if value is None else value)
    assert asked(script).get("strict", False) is strict
    if strict:
        assert faults(asked(script)["schema"]) == []


@pytest.mark.parametrize(("kind", "answer", "value", "strict"), WRAPPED, ids=str)
async def test_any_other_type_is_asked_for_within_an_object(
    kind: Any, answer: Any, value: Any, *, strict: bool
) -> None:
    script = Script(json.dumps({"response": answer}))
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=kind)
    assert outcome.kind is None, outcome.message
    assert outcome.parsed == (TypeAdapter(kind).validate_python(answer) if value is None else value)
    assert list(asked(script)["schema"]["properties"]) == ["response"]
    assert asked(script).get("strict", False) is strict
    if strict:
        assert faults(asked(script)["schema"]) == []


async def test_an_answer_that_is_not_of_the_type_is_asked_for_again() -> None:
    script = Script("[]", '{"response": ["x"]}', '{"response": [1]}')
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=list[int])
    assert outcome.kind is FailureKind.SCHEMA_VIOLATION
    assert "response" in outcome.message
    script = Script('{"response": ["x"]}', '{"response": [1]}')
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=list[int])
    assert outcome.parsed == [1]
    assert "response.0" in script.sent[1]["messages"][-1]["content"]


class Plain:
    """A class that pydantic knows nothing of, as those of msgspec and attrs are."""


class Undefined(BaseModel):
    x: "Nowhere"  # type: ignore[name-defined] # noqa: F821 - that is the point


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (Plain, "no way to validate"),
        (list[Plain], "no way to validate"),
        (Undefined, "Nowhere"),
        ("City", "instance of str"),
        (ULM, "instance of City"),
        (Place("a"), "instance of Place"),
        ([City], "instance of list"),
        (5, "no way to validate"),
        (TypeAdapter(City), "no way to validate"),
        ({"type": "object"}, "response_format"),
        (lambda x: x, "function"),
        (print, "function"),
        (..., "Ellipsis"),
    ],
)
async def test_what_is_no_type_for_pydantic_is_refused_before_a_call(kind: Any, named: str) -> None:
    script = Script("{}")
    with pytest.raises(PromptRejected, match=r"TypeAdapter takes") as caught:
        await script.outcome(defaults={"model": MODEL}, response_model=kind)
    assert named in str(caught.value)
    assert caught.value.param == "response_model"
    assert script.sent == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (City, "City"),
        (Page[City], "Page_City"),
        (list[City], "list_City"),
        (Annotated[list[City], Field(min_length=1)], "list_City"),
        (City | Place, "City_Place"),
        (Optional[City], "Optional_City"),  # noqa: UP045 - as it may be written
        (Literal["low", "high-up"], "Literal_low_high-up"),
        (Rows, "Rows"),
        (Count, "Count"),
        (type("Größe", (City,), {}), "Gr_e"),
        (type("日本", (City,), {}), "response"),
        (type("A" * 99, (City,), {}), "A" * 64),
        (dict[str, dict[str, dict[str, list[Page[City]]]]], None),
    ],
    ids=str,
)
def test_the_name_of_a_format_is_made_from_the_type(kind: Any, name: str | None) -> None:
    asking = with_response_class({}, endpoint=CHAT, model=kind)
    found = asking["response_format"]["json_schema"]["name"]
    assert LEGAL.fullmatch(found)
    assert found == type_name(kind)
    assert name in (None, found)


def test_the_model_of_a_type_is_its_own() -> None:
    assert class_model(City) is City
    made = class_model(list[City])
    assert class_model(made) is made
    assert made.__name__ == "list_City"
