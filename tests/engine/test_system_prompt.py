"""The default fields of a batch, and its system prompt among them."""

import json
from typing import Any

import pytest

from batches.engine.errors import PromptRejected
from batches.engine.prepare import (
    check_prompt_free,
    own_fields,
    prepare_prompt_request,
    prompt_body,
    whole_body,
    with_system_prompt,
    without_system_prompt,
)
from batches.engine.records import Outcome, PreparedRequest, PromptSpec

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ASKED = {"messages": [{"role": "user", "content": "Paris?"}]}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_a_system_prompt_goes_before_the_messages_of_each_prompt() -> None:
    defaults = with_system_prompt({"model": "m"}, "Be brief.", endpoint=CHAT)
    prompt = PromptSpec(index=0, custom_id="a", body=prompt_body("Paris?", CHAT))
    prepared = prepare_prompt_request(prompt, endpoint=CHAT, defaults=defaults)
    assert isinstance(prepared, PreparedRequest)
    assert json.loads(prepared.content)["messages"] == [SYSTEM, *ASKED["messages"]]


def test_in_a_response_it_is_the_field_instructions() -> None:
    defaults = with_system_prompt({}, "Be brief.", endpoint=RESPONSES)
    assert whole_body(defaults, {"input": "Paris?"}) == {
        "instructions": "Be brief.",
        "input": "Paris?",
    }


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_prompt_with_a_system_prompt_of_its_own_keeps_it(role: str) -> None:
    own = {"messages": [{"role": role, "content": "Rhyme."}, *ASKED["messages"]]}
    assert own_fields(with_system_prompt({}, "Be brief.", endpoint=CHAT), own) == own


@pytest.mark.parametrize("body", [{"messages": []}, {"messages": "odd"}, {}])
def test_a_prompt_without_messages_gets_none(body: dict[str, Any]) -> None:
    assert own_fields(with_system_prompt({}, "Be brief.", endpoint=CHAT), body) == body


def test_an_empty_prompt_is_rejected_also_below_a_system_prompt() -> None:
    prompt = PromptSpec(index=0, custom_id="a", body={"messages": []})
    defaults = with_system_prompt({"model": "m"}, "Be brief.", endpoint=CHAT)
    found = prepare_prompt_request(prompt, endpoint=CHAT, defaults=defaults)
    assert isinstance(found, Outcome)


def test_other_messages_of_the_defaults_are_no_system_prompt() -> None:
    assert whole_body({**ASKED, "seed": 1}, {"messages": [SYSTEM]}) == {
        "messages": [SYSTEM],
        "seed": 1,
    }


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_what_was_given_as_a_system_prompt_is_found_again(endpoint: str) -> None:
    defaults = with_system_prompt({"model": "m"}, "Be brief.", endpoint=endpoint)
    found = without_system_prompt(defaults, endpoint=endpoint)
    assert found == ({"model": "m"}, "Be brief.")


@pytest.mark.parametrize(
    "defaults", [{}, ASKED, {"messages": [SYSTEM, SYSTEM]}, {"messages": "odd"}]
)
def test_what_is_no_system_prompt_stays_among_the_defaults(defaults: dict[str, Any]) -> None:
    assert without_system_prompt(defaults, endpoint=CHAT) == (defaults, "")


@pytest.mark.parametrize(
    ("endpoint", "defaults", "text", "message"),
    [
        ("/v1/embeddings", {}, "a", "cannot be used with /v1/embeddings"),
        ("/v1/rerank", {}, "a", "cannot be used with /v1/rerank"),
        (CHAT, ASKED, "a", "Give either 'messages' or a system prompt"),
        (RESPONSES, {"instructions": "b"}, "a", "Give either 'instructions'"),
        (CHAT, {}, "\ud800", "half of a surrogate pair"),
    ],
)
def test_a_system_prompt_that_could_not_be_sent_is_refused(
    endpoint: str, defaults: dict[str, Any], text: str, message: str
) -> None:
    with pytest.raises(PromptRejected, match=message):
        with_system_prompt(defaults, text, endpoint=endpoint)


def test_a_default_that_every_text_prompt_replaces_is_refused() -> None:
    check_prompt_free({"model": "m", "messages": [SYSTEM]}, CHAT)
    check_prompt_free({"input": "a"}, "/v1/rerank")
    for defaults, endpoint in ((ASKED, CHAT), ({"input": "a"}, RESPONSES)):
        with pytest.raises(PromptRejected, match="Use the system prompt"):
            check_prompt_free(defaults, endpoint)
    with pytest.raises(PromptRejected, match=r"'body\.prompt' is set by each prompt"):
        check_prompt_free({"prompt": "a"}, "/v1/completions")
