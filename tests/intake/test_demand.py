"""What prompts may cost is told before they are sent."""

import json
from decimal import Decimal
from typing import Any

from batches.engine.endpoints import CHAT, RULES
from batches.engine.prepare import with_system_prompt
from batches.inputs.prompts import NewPrompt
from batches.intake.demand import USUAL_ANSWER_TOKENS, Demand, Estimate
from batches.limits.prices import PriceList

URL = "http://127.0.0.1:9/v1"
PRICES = {"cheap": {"input": 1, "output": 2}, "dear": {"input": 100, "output": 200}}


def prompt(**body: Any) -> NewPrompt:
    return NewPrompt(line=1, custom_id="a", body=json.dumps(body))


def endpoint_of(*bodies: dict[str, Any]) -> str:
    """The endpoint that these bodies are for, by the field that holds what is asked."""
    fields = {name for body in bodies for name in body}
    found = (path for path in RULES if RULES[path].asked_in in fields)
    return min(found, key=lambda path: not RULES[path].answers_in_text, default=CHAT)


def estimate(defaults: dict[str, Any], *prompts: NewPrompt) -> Estimate:
    demand = Demand(defaults, endpoint_of(defaults, *(json.loads(one.body) for one in prompts)))
    assert list(demand.counting(prompts)) == list(prompts)
    return demand.estimate(PriceList(URL, PRICES))


def test_tokens_are_told_from_the_length_of_prompts_and_of_the_longest_answers() -> None:
    found = estimate({"model": "cheap", "max_tokens": 50}, *[prompt(prompt="x" * 4000)] * 10)
    assert found.prompts == 10
    assert 10_000 <= found.input_tokens <= 11_000
    assert found.output_tokens == 500
    assert found.cost == Decimal(found.input_tokens + 2 * found.output_tokens) / 10**6


def asked(text: str) -> NewPrompt:
    return prompt(messages=[{"role": "user", "content": text}])


def test_the_texts_count_and_not_the_json_around_them() -> None:
    """Four characters a token, and four tokens for each message."""
    long = "x" * 400
    assert estimate({"model": "cheap"}, asked(long)).input_tokens == 104
    assert estimate({"model": "cheap", "temperature": 0, "user": long}, asked("")).input_tokens == 4
    parts = [{"type": "text", "text": long}, {"type": "image_url", "image_url": {"url": long}}]
    assert estimate({}, prompt(messages=[{"role": "user", "content": parts}])).input_tokens == 104
    assert estimate({}, prompt(input=long, instructions=long)).input_tokens == 200
    assert estimate({}, prompt(input=[[1, 2, 3], [4]])).input_tokens == 4
    call = {"type": "function", "function": {"name": "look", "arguments": long}}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert estimate({}, prompt(messages=[answer])).input_tokens == 105


def test_what_is_shared_counts_for_each_prompt_that_brings_none_of_its_own() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    size = len(json.dumps(tools))
    shared = {"tools": tools, "messages": [{"role": "user", "content": "x" * 4000}]}
    found = estimate(shared, prompt(), asked(""), prompt(messages=[]))
    assert found.input_tokens == (3 * size + 4000 + 2 * 16) // 4


def test_the_system_prompt_of_a_batch_counts_for_each_prompt() -> None:
    defaults = with_system_prompt({"model": "cheap"}, "x" * 4000, endpoint=CHAT)
    assert estimate(defaults, asked(""), asked("")).input_tokens == 2 * (4000 + 2 * 16) // 4


def test_a_prompt_may_ask_another_model_and_for_a_shorter_answer() -> None:
    usual = estimate({"model": "cheap"}, prompt(), prompt())
    mixed = estimate({"model": "cheap"}, prompt(), prompt(model="dear", max_completion_tokens=7))
    assert usual.output_tokens == 2 * USUAL_ANSWER_TOKENS
    assert mixed.output_tokens == USUAL_ANSWER_TOKENS + 7
    assert mixed.cost is not None
    assert usual.cost is not None
    assert mixed.cost > usual.cost


def test_without_the_price_of_one_model_nobody_knows_what_all_cost() -> None:
    found = estimate({"model": "cheap"}, prompt(), prompt(model="unknown"))
    assert found.cost is None
    assert "$" not in str(found)
    assert "$0.00" in str(estimate({"model": "cheap"}, prompt()))


def test_no_prompts_cost_nothing() -> None:
    assert estimate({}) == Estimate(0, 0, 0, Decimal(0))


def test_with_stronger_models_each_prompt_may_be_asked_of_all_of_them() -> None:
    demand = Demand({"model": "cheap", "max_tokens": 50}, CHAT)
    list(demand.counting([asked("x" * 400), asked("x" * 400)]))
    prices = PriceList(URL, PRICES)
    plain, most = demand.estimate(prices), demand.estimate_escalated(prices, ["dear"])
    assert (most.prompts, most.unlimited) == (2, 0)
    assert most.input_tokens == 2 * plain.input_tokens
    assert most.output_tokens == 2 * plain.output_tokens
    assert plain.cost is not None
    assert most.cost == 101 * plain.cost
    assert demand.estimate_escalated(prices, ["dear", "unknown"]).cost is None
