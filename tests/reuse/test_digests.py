"""The digest of a request: the same for the same request, and for no other."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.models import Batch, Provider
from batches.reuse.digests import NOT_ABOUT_THE_ANSWER, RequestDigests

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODY = st.dictionaries(st.sampled_from(["model", "messages", "seed", "a", "b"]), JSON)


def digest(body: dict[str, Any], **batch: Any) -> bytes:
    usual = {"provider": Provider(pk=1), "endpoint": "/v1/chat/completions"}
    row = Batch(**{**usual, **batch})
    return RequestDigests(row).of(json.dumps(body))


@given(body=BODY, defaults=BODY, told=st.sampled_from(sorted(NOT_ABOUT_THE_ANSWER)))
def test_equal_requests_have_equal_digests(
    body: dict[str, Any], defaults: dict[str, Any], told: str
) -> None:
    whole = digest(body, defaults=defaults)
    assert whole == digest(dict(reversed(body.items())), defaults=defaults)
    assert whole == digest({**body, told: "another"}, defaults=defaults)


@given(one=BODY, other=BODY)
def test_different_requests_have_different_digests(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    are_equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == are_equal


def test_a_default_is_a_field_of_each_request() -> None:
    body = {"messages": [{"role": "user", "content": "a"}]}
    assert digest({**body, "model": "m"}) == digest(body, defaults={"model": "m"})


@pytest.mark.parametrize(
    "changes",
    [
        {"owner_id": 7},
        {"provider": Provider(pk=2)},
        {"endpoint": "/v1/responses"},
        {"extract_json": False},
        {"repair_json": False},
        {"max_repair_attempts": 3},
        {"strict_schemas": True},
    ],
)
def test_who_asks_where_and_how_makes_another_digest(changes: dict[str, Any]) -> None:
    assert digest({"model": "m"}, **changes) != digest({"model": "m"})


def test_other_stronger_models_make_another_request() -> None:
    steps = [{"model": "strong", "when": ["empty"]}]
    plain = digest({})
    assert plain == digest({}, escalate=None)
    found = {plain, digest({}, escalate=steps)}
    found.add(digest({}, escalate=[{**steps[0], "when": ["empty", "refusal"]}]))
    found.add(digest({}, escalate=[{**steps[0], "model": "stronger"}]))
    assert len(found) == 4
