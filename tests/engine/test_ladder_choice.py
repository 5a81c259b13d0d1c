"""Of several JSON values in an answer the right one is taken, or the model is asked again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import FailureKind
from batches.engine.records import Judgement, LadderOptions, Rung
from batches.engine.structured.ladder import judge_reply
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
    f"例如 {OTHER}。\n最终答案：{TEXT}",  # noqa: RUF001 - the characters of other scripts are meant
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


FENCED = f"```json\n{TEXT}\n```"
EXAMPLES_ALONE = [
    f"I cannot answer. The format would be {TEXT}",
    f"Sorry, I cannot help with that. The expected output format is:\n{TEXT}",
    f"I can not determine n. An example of a valid answer would be:\n{FENCED}",
    f"I can not determine n. An example of a valid answer:\n{FENCED}",
    f"Could you share the document? For instance, the output might be {TEXT}.",
    f"There is no text. Expected output:\n{TEXT}",
    f"Please provide the text. Example output:\n\n{FENCED}",
    f"I don't have the file. It would look like this:\n{FENCED}\nPlease send it.",
    f"I'm unable to do that. The result could be {TEXT}.",
    f"Without the text I would only guess. Sample response: {TEXT}",
    f"The answer has to follow this schema:\n{TEXT}",
    f"There is no document attached. Once you send it, I'll return something like:\n{FENCED}",
    f"I cannot answer. A valid response has this shape: {TEXT}",
    f"Please send the text so that I can fill in:\n{FENCED}",
    f"Sorry, I can't. The answer should be in the form {TEXT}",
    f"Preliminary guess: {TEXT}\nLet me check that.",
    f"As a template:\n{FENCED}",
    f"For example, {TEXT} or, for example, {OTHER}.",
    f"The answer is not {TEXT}.",
    f"无法回答。格式示例：{TEXT}",  # noqa: RUF001 - the characters of other scripts are meant
    f"Ohne den Text geht es nicht. Beispiel: {TEXT}",
]


@pytest.mark.parametrize("answer", EXAMPLES_ALONE)
def test_examples_alone_are_no_answer(answer: str) -> None:
    judgement = judged(answer)
    assert kind_of(judgement) is FailureKind.NOT_JSON
    assert judgement.follow_up is not None


@pytest.mark.parametrize(
    "answer",
    [
        f"Here is the data in the requested format:\n{FENCED}",
        f"Here's the JSON matching your schema: {TEXT}",
        f"Sure! Below is the extracted information in the following JSON format:\n\n{TEXT}",
        f"The answer in the required structure:\n{TEXT}",
        f"The text does not say more:\n{TEXT}",
        f"I found two invalid entries: {TEXT}",
        f"The answer would be {TEXT}.",
    ],
)
def test_an_answer_in_the_format_is_no_example(answer: str) -> None:
    assert judged(answer) == Judgement(RIGHT, Rung.EXTRACTED)


WITHDRAWN = [
    f"Draft:\n{TEXT}\nNow the final answer:\n",
    f"Draft:\n{TEXT}\nNow the final answer:\n```json",
    f"Draft:\n{TEXT}\nNow the final answer:\n```json\n",
    f"{TEXT}\nNow the final answer:\n",
    f"{TEXT}\n\n**Final answer**\n",
    f"{TEXT}\n\nSo the corrected JSON is",
    f"{FENCED}\n\nThe revised version:\n```json\n",
    f"{FENCED}\n\nWith all the tags:\n```\n",
    f"{TEXT}\n\n<answer>",
    f"First attempt:\n{FENCED}\nThis is wrong, because",
    f"{FENCED}\nThis is wrong, because",
    f"{TEXT}\n\nWait, that is wrong: n has to be 2.",
    f"{TEXT}\n\nWait, n has to be 2.",
    f"{TEXT}\n\nDisregard the above. I cannot answer this.",
    f"{TEXT}\n\nPlease ignore the above JSON.",
    f"{TEXT}\n\nActually, that isn't right.",
    f"{TEXT}\n\nHmm, let me recount.",
    f"{TEXT}\n\nI made a mistake: n has to be 2.",
    f"{TEXT} - scratch that, n is 2",
    f"{TEXT}\n\nThe above answer is incorrect.",
    f"{TEXT}\n\nThis is just an example.",
    f"{TEXT}\n\nRevised answer: n = 2",
    f"{TEXT}\n\nFinal:\n```json\nn is two\n```",
    f"{TEXT}\n\nI'm unable to answer this.",
    f"Did you mean {TEXT}?",
    f"{TEXT} is an example of the format.",
    f"{TEXT}\n\nActually, n is 2.",
]


@pytest.mark.parametrize("reason", ["stop", ""])
@pytest.mark.parametrize("answer", WITHDRAWN)
def test_what_is_taken_back_or_to_be_followed_is_no_answer(answer: str, reason: str) -> None:
    judgement = judge_reply(request(schema=SCHEMA), reply(answer, finish_reason=reason))
    assert kind_of(judgement) in {FailureKind.NOT_JSON, FailureKind.TRUNCATED}


@pytest.mark.parametrize(
    "behind",
    [
        "Let me know if this is wrong.",
        "Please tell me if you want the output to be different.",
        "Explanation of the answer:",
        "I did not wait for the other text.",
        "My first draft had no tags, so I added them.",
        "Note: I ignored the header.",
        "```\nsome code\n```",
        "This is the final answer.",
        "The answer is correct.",
        "This is not a guess.",
        "That's it!",
    ],
)
@pytest.mark.parametrize("before", [TEXT, FENCED])
def test_a_harmless_remark_takes_nothing_back(before: str, behind: str) -> None:
    assert judged(f"{before}\n\n{behind}") == Judgement(RIGHT, Rung.EXTRACTED)


TURNS = [
    "<|im_end|>\n<|im_start|>user\n{}\n<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>hm</think>\n",
    (
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n{}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "<|eot|><|header_start|>user<|header_end|>\n{}<|eot|><|header_start|>assistant<|header_end|>",
    "<end_of_turn>\n<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    "<turn|>\n<|turn>user\n{}<turn|>\n<|turn>model\n",
    "<|end|>\n<|user|>\n{}<|end|>\n<|assistant|>\n",
    "<|user|>\n{}\n<|assistant|>\n",
    "<|endoftext|>{}\n\n",
    "<|end_of_text|>\n{}\n",
    "</s>\n[INST] {} [/INST]\n",
    "</s>",
    " [INST] {} [/INST] ",
    (
        "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
    ),
    "<｜end▁of▁sentence｜><｜User｜>{}<｜Assistant｜>",  # noqa: RUF001 - the characters of other scripts are meant
    "<|im_end|><|im_user|>user<|im_middle|>{}<|im_end|><|im_assistant|>assistant<|im_middle|>",
    (
        "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>"
    ),
    "[|endofturn|]\n[|user|]{}\n[|assistant|]",
    "<eos>\n",
    "\n\nHuman: {}\n\nAssistant: ",
    "\n\nUser: {}\nAssistant:\n",
    "\n\n### Instruction:\n{}\n\n### Response:\n",
    "\nuser\n{}\nassistant\n",
    "\n### Human: {}\n### Assistant: ",
]


@pytest.mark.parametrize("turn", TURNS)
def test_what_follows_the_end_of_the_turn_is_no_answer(turn: str) -> None:
    for said in ("And the next?", OTHER, "That is wrong."):
        behind = turn.replace("{}", said)
        for after in (OTHER, f"```json\n{OTHER}\n```", ""):
            for answer in (TEXT, f"So:\n{TEXT}", FENCED, f"<think>{OTHER}</think>{TEXT}"):
                assert judged(answer + behind + after) == Judgement(RIGHT, Rung.EXTRACTED)


@pytest.mark.parametrize(
    "before",
    ["<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>\n\n", "[/INST] "],
)
def test_marks_before_the_answer_are_left_out(before: str) -> None:
    assert judged(before + TEXT) == Judgement(RIGHT, Rung.EXTRACTED)
    assert judged(f"{before}{TEXT}<|im_end|>\n{OTHER}") == Judgement(RIGHT, Rung.EXTRACTED)


def test_the_end_of_a_turn_ends_a_number() -> None:
    answered = reply("1234<|im_end|>", finish_reason="")
    assert judge_reply(request(schema=True), answered).parsed == 1234


@pytest.mark.parametrize("value", ["[", "{", "a {} b", TEXT, '["', "x"])
def test_brackets_in_a_fenced_string_are_its_text(value: str) -> None:
    answer = f"```json\n{json.dumps(value)}\n```"
    assert judged(answer, True) == Judgement(value, Rung.EXTRACTED)  # noqa: FBT003 - a schema


def test_the_final_channel_of_an_invented_turn_is_no_answer() -> None:
    final = "<|start|>assistant<|channel|>final<|message|>"
    for end in ("<|return|>", "<|end|><|start|>user<|message|>And now?<|end|>"):
        assert judged(f"{final}{TEXT}{end}{final}{OTHER}") == Judgement(RIGHT, Rung.EXTRACTED)


@pytest.mark.parametrize(
    "words",
    [
        "If the text were different, you would get:",
        "For another text you would get:",
        "Had it said more, the JSON would be:",
        "A hypothetical result:",
        "Otherwise:",
        "For comparison, with the other document the result is:",
        "In the opposite case:",
        "Assistant:",
        "assistant",
        "Input: another text\nOutput:",
        "Q: And now?\nA:",
        "Instruction: again\nResponse:",
    ],
)
def test_what_would_be_contradicts_the_answer_at_most(words: str) -> None:
    judgement = judged(f"{FENCED}\n{words}\n```json\n{OTHER}\n```")
    assert judgement.parsed is None
    assert judgement.follow_up is not None


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
    "<｜begin▁of▁think｜>{}<｜end▁of▁think｜>",  # noqa: RUF001 - the characters of other scripts are meant
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


MARKS = [
    *("<think>", "</think>", "<think>x</think>", "[THINK]", "<|channel|>final<|message|>", "```"),
    *("<|im_end|>", "</s>", "[/INST]", "<|return|>", "\n\nHuman: ", "Wait, this is wrong. "),
]


@given(pieces=st.lists(st.sampled_from([*MARKS, "a", '"', "\\", "{", "}", "\n"]), max_size=6))
def test_marks_inside_the_strings_of_an_answer_are_left_alone(pieces: list[str]) -> None:
    value = {"n": 1, "text": "".join(pieces)}
    text = json.dumps(value)
    assert judged(text) == Judgement(value, Rung.PARSED)
    for around in ("Here:\n\n{}\n\nDone.", "```json\n{}\n```", "<think>so</think>{}"):
        assert judged(around.replace("{}", text)) == Judgement(value, Rung.EXTRACTED)
    assert judged(f"{text[:-1]},}}").parsed == value
