"""Of several JSON values in an answer the right one is taken, or the model is asked again."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches.engine.errors import FailureKind
from batches.engine.ladder import judge_reply
from batches.engine.records import Judgement, LadderOptions, Rung
from tests.engine.makers import reply, request

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "tags": {"items": {"type": "string"}}},
    "required": ["n"],
}
RIGHT = {"n": 1}
TEXT = json.dumps(RIGHT)
# Fits, differs, and is longer.
OTHER = json.dumps({"n": 5, "tags": ["a", "much", "longer", "draft"]})
WHOLE = json.dumps({"n": 1, "tags": ["a"]}, indent=2)


def judged(answer: str, schema: Any = SCHEMA, **options: Any) -> Judgement:
    return judge_reply(request(schema=schema), reply(answer), LadderOptions(**options))


def kind_of(judgement: Judgement) -> FailureKind | None:
    return judgement.fault.kind if judgement.fault else None


RIGHT_ONE = [
    # An example or a draft before the answer.
    f"For example, {OTHER} would be one. The answer:\n{TEXT}",
    f"Such as {OTHER}.\n\n{TEXT}",
    f"Draft: {OTHER}\nFinal answer: {TEXT}",
    f"First draft:\n{OTHER}\n\nOn reflection, the final answer is {TEXT}.",
    f"First I thought of\n{OTHER}\nbut n has to be 1.\n\n{TEXT}",
    f"**Draft**\n```json\n{OTHER}\n```\n**Final**\n```json\n{TEXT}\n```",
    f"```\n{OTHER}\n```\nNo, there are no tags:\n```\n{TEXT}\n```",
    f"```json\n{OTHER}\n```\n\n```json\n{TEXT}\n```",
    f"Here is the format: {OTHER}\nHere is the JSON: {TEXT}",
    f"Input: {OTHER}\nOutput: {TEXT}",
    f"例如 {OTHER}。\n最终答案：{TEXT}",  # noqa: RUF001
    f"Entwurf: {OTHER}\nEndgültige Antwort: {TEXT}",
    f"1. {OTHER} was wrong\n2. so:\n\n{TEXT}\n",
    # The schema itself, or what the prompt had, before the answer.
    f"{json.dumps(SCHEMA)}\n\n{TEXT}",
    f"The schema is {json.dumps(SCHEMA)}.\n```json\n{TEXT}\n```",
    f"You gave the example {OTHER}.\n\n{TEXT}",
    # A remark behind it.
    f"{TEXT}\n\nNote that {OTHER} is longer.",
    f"{TEXT}\n\nI did not give, for example, {OTHER} as an answer, since n is 1.",
    f"{TEXT}\n\nSchema: {json.dumps(SCHEMA)}",
    f'{TEXT}\n\nIn other words, {{"count": 1}} of them.',
    f"{TEXT}\n\n[1] a source\n[2] another",
    # Equal values say the same, whatever their form.
    f"{TEXT}\n\n{TEXT}",
    f'It is {TEXT}, I mean {{"n":1}}.',
    # Marks of an answer.
    f"<answer>{TEXT}</answer>",
    f"Let me see: {OTHER}.\n<answer>\n{TEXT}\n</answer>",
    f"So {OTHER} fails. <final_answer>{TEXT}</final_answer>",
    f"<|START_RESPONSE|>{TEXT}<|END_RESPONSE|>",
    f"\\boxed{{{TEXT}}}",
    f"Perhaps {OTHER}. Final answer: **{TEXT}**",
    f"As [1] and [2] say, {{curly}} braces [3, 4] and {{}}: {TEXT} [5]",
]


@pytest.mark.parametrize("answer", RIGHT_ONE)
def test_the_answer_is_the_last_value_that_stands_alone(answer: str) -> None:
    assert judged(answer) == Judgement(RIGHT, Rung.EXTRACTED)


AMBIGUOUS = [
    f"First {OTHER}, better {TEXT}",
    f"It is {OTHER} or {TEXT}.",
    f"{OTHER} {TEXT}",
    f"{OTHER}\n{TEXT}",
    f"{OTHER},\n{TEXT}\n",
    f"{TEXT}\n\nWait, actually it should be {OTHER}.",
    f"{TEXT}\n\nAlternatively {OTHER} is right.",
    f"{TEXT}\nFor example, with other words:\n{OTHER}",
    f"The answer is {TEXT}, or should it be {OTHER}?",
    "\n".join(json.dumps({"n": number}) for number in range(50)),
    " or ".join(json.dumps({"n": number}) for number in range(50)),
]


@pytest.mark.parametrize("answer", AMBIGUOUS)
def test_what_may_be_the_one_or_the_other_is_asked_for_again(answer: str) -> None:
    judgement = judged(answer)
    assert judgement.fault is not None
    assert judgement.fault.kind in {FailureKind.SCHEMA_VIOLATION, FailureKind.NOT_JSON}
    assert judgement.follow_up is not None


@pytest.mark.parametrize(
    "answer",
    [
        f'Example:\n{TEXT}\n\nAnswer:\n{{"n": "x"}}',
        f'{TEXT}\n```json\n{{"n": "x"}}\n```',
        f'Such as {TEXT}: {{"n": "x", "tags": []}}',
        f'{TEXT} was too short, therefore {{"n": null, "tags": []}}',
        f"The answer would have to fit {json.dumps(SCHEMA)}",
    ],
)
def test_an_example_never_stands_in_for_an_answer_that_does_not_fit(answer: str) -> None:
    assert kind_of(judged(answer)) is FailureKind.SCHEMA_VIOLATION


def test_true_and_one_are_not_the_same() -> None:
    schema = {"properties": {"n": {}}, "required": ["n"]}
    judgement = judged('It is {"n": true} or {"n": 1}.', schema)
    assert kind_of(judgement) is FailureKind.SCHEMA_VIOLATION


def test_a_broken_value_contradicts_too() -> None:
    assert judged('Perhaps {"n": 5,}.\n\n{"n": 1,}') == Judgement(RIGHT, Rung.REPAIRED)
    assert judged('It is {"n": 5,} or {"n": 1}.').fault is not None


THOUGHTS = [
    "<think>{}</think>",
    "<THINK>{}</THINK>\n\n",
    '<think effort="low">\n{}\n</think>\n',
    "<thinking>{}</thinking>",
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<seed:think>{}<seed:cot_budget_reflect>half</seed:cot_budget_reflect></seed:think>",
    "{}</think>",
    "{}\n</thinking>\n\n",
    "Well, {}</think><think>again {}</think>",
    "<think>{}</think><think>{}</think>",
    "<think>{}<think>{}</think>{}</think>",
    "<think>I use <think> for this. {}</think>",
    "<think>{}</thinking>",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|begin_of_thought|>{}<|end_of_thought|><|begin_of_solution|>",
    "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>",
    "<｜begin▁of▁think｜>{}<｜end▁of▁think｜>",  # noqa: RUF001
    "<unused94>thought\n{}<unused95>",
    "<|channel>thought\n{}<channel|>",
    "<|inner_prefix|>{}<|inner_suffix|>",
    "Here is my thought process: {}\nHere is my response:\n",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel|>analysis<|message|>{}<|end|><|channel|>final <|constrain|>json<|message|>",
    "<|channel|>commentary<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "analysisWe need {}assistantfinal",
    "<think>{}</think>\n<answer>\n",
]
DRAFTS = [
    "Let me see.",
    OTHER,
    f"\n{OTHER}\n",
    f"```json\n{OTHER}\n```",
    "is \"it\" {'n': 5}? don't",
]


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("thought", THOUGHTS)
def test_thoughts_are_not_the_answer(thought: str, draft: str) -> None:
    before = thought.replace("{}", draft)
    for answer in (before + TEXT, f"{before}\n```json\n{TEXT}\n```\n"):
        assert judged(answer) == Judgement(RIGHT, Rung.EXTRACTED)
    assert kind_of(judged(before + TEXT, extract_json=False)) is FailureKind.NOT_JSON
    broken = judged(before + '{"n": 1,}')
    assert broken == Judgement(RIGHT, Rung.REPAIRED)


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("thought", THOUGHTS)
def test_an_answer_of_thoughts_alone_is_empty(thought: str, draft: str) -> None:
    judgement = judged(thought.replace("{}", draft))
    assert judgement.fault is not None
    assert judgement.follow_up is not None


@pytest.mark.parametrize("answer", [f"<think>{OTHER}", f"<|channel|>analysis<|message|>{OTHER}"])
def test_thoughts_that_do_not_end_hold_no_answer(answer: str) -> None:
    assert kind_of(judged(answer)) is FailureKind.EMPTY


def test_a_thought_in_the_midst_of_an_answer_is_taken_out() -> None:
    assert judged('{"n": <think>one?</think> 1}') == Judgement(RIGHT, Rung.EXTRACTED)
    assert judged(f"{TEXT}\n<think>{OTHER}</think>") == Judgement(RIGHT, Rung.EXTRACTED)


MARKS = ["<think>", "</think>", "<think>x</think>", "[THINK]", "<|channel|>final<|message|>", "```"]


@settings(max_examples=100)
@given(pieces=st.lists(st.sampled_from([*MARKS, "a", '"', "\\", "{", "}", "\n"]), max_size=6))
def test_marks_inside_the_strings_of_an_answer_are_left_alone(pieces: list[str]) -> None:
    value = {"n": 1, "text": "".join(pieces)}
    text = json.dumps(value)
    assert judged(text) == Judgement(value, Rung.PARSED)
    for around in ("Here:\n\n{}\n\nDone.", "```json\n{}\n```", "<think>so</think>{}"):
        assert judged(around.replace("{}", text)) == Judgement(value, Rung.EXTRACTED)
    assert judged(f"{text[:-1]},}}").parsed == value
