"""Remove thoughts and other channels from the text of an answer.

Reasoning models write their thoughts into the answer, each family between its own marks, and
servers that do not know the marks leave them there. Marks inside a JSON string are data. Linear in
the length.
"""

import re

from batches.engine.structured.spans import OPENING, first_outside_strings, span_at

# After this many broken values, brackets are no longer treated as the beginning of a value.
MAX_BROKEN = 100

_NAMES = (
    r"(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing)?(?:_content)?|reflection|scratch_?pad"
    r"|analysis|(?:inner|internal)_(?:thoughts?|monologue|reasoning)|chain_of_thought|cot)"
)
_BAR = "[|｜]"  # noqa: RUF001 - DeepSeek's marks have the wide one
_GAP = "[_▁ ]"
# <think>, <seed:think>, <think effort="low">; <|begin_of_thought|> of Sky-T1 and OpenThinker,
# <|START_THINKING|> of Cohere, <|think|> of Solar; [THINK] of Mistral; ◁think▷ of Kimi;
# <unused94> of MedGemma, <|channel>thought of Gemma 4; <|inner_prefix|> of Apertus; the words of
# Granite 3.2.
_OPEN = "|".join(
    (
        rf"<(?:[\w-]+:)?{_NAMES}(?:\s(?:[^<>]*[^<>/])?)?>",
        rf"<{_BAR}(?:(?:start|begin)(?:{_GAP}of)?{_GAP})?{_NAMES}{_BAR}>",
        rf"\[(?:start_|begin_)?{_NAMES}\]",
        rf"◁{_NAMES}▷",
        r"<unused94>",
        r"<\|channel>\s*(?:thought|analysis)\b",
        r"<\|inner_prefix\|>",
        r"\bHere(?:'s| is) my thought process:",
    )
)
_CLOSE = "|".join(
    (
        rf"</(?:[\w-]+:)?{_NAMES}\s*>",
        rf"<{_BAR}(?:/|end(?:{_GAP}of)?{_GAP}){_NAMES}{_BAR}>",
        rf"\[(?:/|end_){_NAMES}\]",
        rf"◁/{_NAMES}▷",
        r"<unused95>",
        r"<channel\|>",
        r"<\|inner_suffix\|>",
        r"\bHere(?:'s| is) my response:",
    )
)
_MARK = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)

_ROLE = r"(?:user|human|system|developer|assistant|model|tool|observation|chatbot|ipython)"
# The end of a turn of the dialogue, or the beginning of another: <|im_end|> of ChatML, <|eot_id|>
# of Llama, <end_of_turn> of Gemma, <|end|> of Phi, </s> of Mistral, <|END_OF_TURN_TOKEN|> of
# Cohere, the same with wide bars of DeepSeek, [|endofturn|] of EXAONE, [e~[ of MiniMax. A mark
# that a sentence quotes follows a back-tick.
_TURN = (
    r"(?<![^`]`)(?:"
    + "|".join(
        (
            (
                rf"<{_BAR}(?:im_(?:start|end|sep|middle|{_ROLE})|e[on][tmd]s?(?:_id)?|(?:start|end)_header_id"
                rf"|header_(?:start|end)|(?:begin|start|end)_?of_?(?:text|turn|sentence|message|role)"
                rf"|(?:begin|end){_GAP}of{_GAP}sentence|(?:(?:start|end)_of_turn|{_ROLE})_token|role_end"
                rf"|{_ROLE}(?:_(?:start|end))?|return|call|eos|start|stop|turn){_BAR}>\s*(?:{_ROLE}\b)?"
            ),
            rf"<(?:start|end)_of_(?:turn|utterance)>\s*(?:{_ROLE}\b)?",
            r"</s>|<eos>|<eot>|\[eos\]|\[/?INST\]|<extra_id_1>",
            rf"<\|turn>\s*(?:{_ROLE}\b)?|<turn\|>|\[e~\[|\]~b\]{_ROLE}?",
            rf"\[\|(?:endofturn|{_ROLE})\|\]",
        )
    )
    + ")"
)
_BREAK = re.compile(f"{_MARK.pattern}|(?P<turn>{_TURN})", re.IGNORECASE)

# The channels of gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>...
_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w*)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_END_OF_MESSAGE = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_NEXT_TURN = re.compile(r"<\|return\|>|<\|start\|>(?:user|system|developer)")
_SPOKEN_CHANNELS = frozenset({"final", "answer", "response"})
# The same if the server has removed the marks: analysisWe need ...assistantfinal{"n": 1}
_BARE_CHANNELS = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z\"'])")
_BARE_FINAL = "assistantfinal"

_UNFINISHED_MARK = re.compile(r"(?:<(?:[/|｜][\w:|▁]*|[A-Za-z][\w:]*)?|◁/?\w*|\[/?[A-Z_]+)\Z")  # noqa: RUF001 - the characters of other scripts are meant


def spoken_part(answer: str) -> str:
    """Return the answer without thoughts, other channels and the text after the end of its turn.

    Return the same object if the answer has none of them.
    """
    return _without_thoughts(_final_channel(answer))


def ends_in_a_mark(text: str) -> bool:
    """Return True if a text ends inside a mark, so that it must have been cut off."""
    return _UNFINISHED_MARK.search(text, max(0, len(text) - 64)) is not None


def _final_channel(answer: str) -> str:
    if _BARE_CHANNELS.match(answer):
        return answer.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in answer else ""
    if not _CHANNEL.search(answer):
        return answer
    turn = _Values(answer, _NEXT_TURN).next_mark(0)
    answer = answer[: turn.start()] if turn else answer
    said, position = [], 0
    values = _Values(answer, _CHANNEL)
    while (mark := values.next_mark(position)) is not None:
        aloud = mark["name"].lower() in _SPOKEN_CHANNELS
        position = _end_of_message(answer, mark.end(), may_hold_json=aloud)
        if aloud:
            said.append(answer[mark.end() : position])
    return "\n".join(said) if position else answer


def _end_of_message(answer: str, start: int, *, may_hold_json: bool) -> int:
    values = _Values(answer, _END_OF_MESSAGE)
    end = values.next_mark(start) if may_hold_json else _END_OF_MESSAGE.search(answer, start)
    return end.start() if end else len(answer)


def _without_thoughts(text: str) -> str:
    if not _BREAK.search(text):
        return text
    said: list[str] = []
    start = 0
    values = _Values(text, _BREAK)
    while (mark := values.next_mark(start)) is not None:
        part = text[start : mark.start()]
        start = mark.end()
        if mark["close"]:
            # The template of the prompt has opened the thought: all text before this was thought.
            said.clear()
            continue
        said.extend([part] if part.strip() else [])
        if mark["open"]:
            start = _end_of_thought(text, mark.end())
        elif said:
            # The model has ended its turn: the rest is not part of its answer. The line break
            # shows that a number before it is complete.
            return "\n".join((*said, ""))
    said.append(text[start:])
    return "\n".join(part for part in said if part.strip())


def _end_of_thought(text: str, start: int) -> int:
    """Return the index after the mark that closes a thought.

    Thoughts may be nested. If the marks do not match, for example because a thought only mentions a
    mark, use the last closing mark; without any, the thought continues to the end.
    """
    depth, last = 1, len(text)
    for mark in _MARK.finditer(text, start):
        depth += 1 if mark["open"] else -1
        if mark["close"]:
            last = mark.end()
        if not depth:
            return last
    return last


class _Values:
    """Finds marks in a text, outside of the strings of its JSON values."""

    def __init__(self, text: str, mark: re.Pattern[str]) -> None:
        self._text = text
        self._mark = mark
        self._broken = 0

    def next_mark(self, position: int) -> re.Match[str] | None:
        """Return the next mark from a position that is not inside a value."""
        mark = self._mark.search(self._text, position)
        while mark is not None:
            opening = self._opening(position, mark.start())
            if opening is None:
                return mark
            position = self._behind_value(opening)
            # Search once, regardless of the number of values before the mark.
            if position > mark.start():
                mark = self._mark.search(self._text, position)
        return None

    def _opening(self, position: int, end: int) -> int | None:
        if self._broken >= MAX_BROKEN:
            return None
        opening = OPENING.search(self._text, position, end)
        return opening.start() if opening else None

    def _behind_value(self, start: int) -> int:
        """Return the end of the value at `start`, or the first mark that interrupts it."""
        span = span_at(self._text, start)
        if span.sound:
            return span.end
        self._broken += 1
        place = first_outside_strings(self._text, span, self._mark)
        return span.end if place is None else place
