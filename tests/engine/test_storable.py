import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.text.json_text import storable

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def strict(text: str) -> Any:
    """What a parser without Python's leniency reads."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def expected(value: Any) -> Any:
    """The value with what no database or parser takes replaced."""
    if isinstance(value, str):
        return LONE_SURROGATE.sub("\ufffd", value.replace("\x00", "\ufffd"))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {expected(key): expected(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'{"a":"x\u0000y"}', r'{"a":"x\ufffdy"}'),
        (rb'{"a\u0000":1}', r'{"a\ufffd":1}'),
        (rb'"\ud800"', r'"\ufffd"'),
        (rb'"\udfff"', r'"\ufffd"'),
        (rb'"\uD83D"', r'"\ufffd"'),
        (rb'"\ud83d\ud83d"', r'"\ufffd\ufffd"'),
        (rb'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (rb'"\ud83dA"', r'"\ufffdA"'),
        (rb'"\ud83d\u0041"', r'"\ufffd\u0041"'),
        (rb'"\ud83d\u0000"', r'"\ufffd\ufffd"'),
        (rb'"\ud83d\\ude00"', r'"\ufffd\\ude00"'),
        (rb'"\ud83d\ud83d\ude00"', r'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\ude00\ude00"', r'"\ud83d\ude00\ufffd"'),
        (b'{"a":NaN}', '{"a":null}'),
        (b"[Infinity,-Infinity,1e400,-1e400,1e300]", "[null,null,null,null,1e+300]"),
        (b'{"a":1,\n "b":"c"}', '{"a":1,"b":"c"}'),
        (b'{"a":1,\r"b":"c"}', '{"a":1,"b":"c"}'),
        (b"[1e400]\n", "[null]"),
        ('{"é":\n"😀"}'.encode(), '{"é":"😀"}'),
        (rb'["\n",' + b"\n1]", r'["\n",1]'),
    ],
)
def test_what_cannot_be_stored_is_replaced_and_nothing_else(raw: bytes, text: str) -> None:
    assert storable(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a": 1,  "b":[ ]}',
        r'{"a":"\\u0000"}',
        r'{"a":"\\ud800"}',
        r'{"a":"\\\\u0000"}',
        r'{"a":"\ud83d\ude00"}',
        r'{"a":"\uD83D\uDE00 and \u00e9"}',
        '{"a":"é😀\u2028"}',
        r'{"a":"line\nbreak\ttab"}',
        "[1e300, 12345678901234567890, -0.0, 1.10]",
    ],
)
def test_what_can_be_stored_stays_as_it_is_to_the_last_space(text: str) -> None:
    assert storable(text.encode()) == text


def test_a_text_that_only_speaks_of_nan_is_kept() -> None:
    assert json.loads(storable(b'{"a": "NaN", "b": "Infinity", "NaN": 1}')) == {
        "a": "NaN",
        "b": "Infinity",
        "NaN": 1,
    }


def test_an_escaped_backslash_before_an_escape_is_told_apart() -> None:
    # Three backslashes: one for a backslash, one for the NUL that follows it.
    assert strict(storable(rb'"\\\u0000"')) == "\\\ufffd"
    assert strict(storable(rb'"\\\\u0000"')) == "\\\\u0000"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe{}",
        b'"\xe9"',
        b'"\xed\xa0\x80"',
        b"\n{",
        b"\nNot JSON",
        b"NaNa",
        b"\n" + b"1" * 5000,
        b"\n" + b"[" * 100_000,
    ],
)
def test_what_it_cannot_read_it_refuses(raw: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        storable(raw)


any_text = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["\x00", "\ud800", "\udfff", "\ud83d\ude00", "\\", "\\u0000", '"', "NaN", "\n", "\u2028"]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
layouts = st.sampled_from([(None, (",", ":")), (None, (", ", ": ")), (2, (",", ": "))])


@given(value=any_json, layout=layouts, end=st.sampled_from(["", "\n", "\r\n"]))
def test_any_json_comes_out_as_one_line_that_every_parser_and_database_takes(
    value: Any, layout: tuple[int | None, tuple[str, str]], end: str
) -> None:
    indent, separators = layout
    raw = (json.dumps(value, indent=indent, separators=separators) + end).encode()
    text = storable(raw)
    assert "\n" not in text
    assert "\r" not in text
    assert "\x00" not in text
    text.encode()
    assert strict(text) == expected(json.loads(raw))
    assert not re.search(r"\\u0000", text.replace(r"\\", ""))


@given(value=any_json)
def test_characters_that_came_unescaped_are_kept(value: Any) -> None:
    clean = expected(json.loads(json.dumps(value)))
    raw = json.dumps(clean, ensure_ascii=False).encode()
    assert strict(storable(raw)) == clean


@given(value=any_json)
def test_a_stored_line_is_stored_again_unchanged(value: Any) -> None:
    once = storable(json.dumps(value).encode())
    assert storable(once.encode()) == once
