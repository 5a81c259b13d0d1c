"""Classify a JSON value by the words around it: an example, an answer, a mistake.

Each check reads a few lines, or is linear in the text.
"""

import re
from dataclasses import dataclass
from enum import IntEnum


class Label(IntEnum):
    """The meaning of the words before a value."""

    NONE = 0
    # An example, a draft, the schema, an input.
    EXAMPLE = 1
    # Apparently denied or doubted.
    REMARK = 2
    # A correction of the text before it.
    REVISION = 3
    FINAL = 4

    @property
    def is_aside(self) -> bool:
        return self in {Label.EXAMPLE, Label.REMARK}


_THING = r"(?:json|answers?|outputs?|responses?|results?|replies|reply|values?|objects?)"
_EXAMPLE_WORDS = (
    # These words apply to the rest of the sentence.
    r"(?:\bfor (?:example|instance|comparison)\b|\be\.g\b"
    r"|\b(?:another|other|different|opposite|alternative) "
    r"(?:documents?|texts?|inputs?|cases?|prompts?|questions?|scenarios?)\b)"
    r"(?:(?!\b(?:final(?:ly)?|so|thus|therefore|but)\b)[^.?!])*"
    r"|\b(?:examples?|samples?|drafts?|dummy|placeholders?|hypothetical|templates?)\b"
    rf"(?:(?! (?:final|correct|actual|real)) \w+){{0,4}}? {_THING}\b"
    rf"|\bexpected(?: {_THING}){{1,3}}\b"
    r"|\b(?:would|should|could|might|may|must|will) (?:\w+ )?look\b"
    r"|\b(?:you|one|we|i|it|that|this|they)(?:['\u2019]d| would| could| might) (?:\w+ )?"
    r"(?:get|give|return|yield|become|have been|see|read)\b"
    r"|\bif\b[^.?!]{0,80}\b(?:were|was|had|changed|said|contained|differed)\b"
    r"|\bnot\b(?=\W*\Z)"
    r"|\b(?:something|be) like\b"
    r"|\b(?:examples?|such as|samples?|looks? like|template|formats?|schema|structure|placeholder"
    r"|drafts?|attempts?|first try|dummy|hypothetical\w*"
    r"|sketch|guess|preliminary|tentative\w*"
    r"|another|suppose|imagine|otherwise"
    r"|beispiel\w*|exemple|ejemplo|esempio|exemplo|entwurf|brouillon|borrador)\b"
    r"|例如|比如|示例|草稿|格式"
)
_REMARK_WORDS = (
    r"\b(?:say,|wrong|incorrect|invalid|mistake|not|never|don['\u2019]t|instead of|unlike"
    r"|rather than|would be|could be|might be|may be|note that|note:|remark:?|considered)(?!\w)"
)
_REVISION_WORDS = (
    r"\b(?:actually|rather|instead|wait|sorry|oops|hmm|should|better|correct|fix(?:ed)?|change[ds]?"
    r"|update[ds]?|must|no,|but|however|mean|vielmehr|besser|plutôt)(?!\w)|应该|更正"
)
_FINAL_TAG = r"<\|?(?!end)\w{0,20}(?:final|answer|response|output|result|solution|json)\w{0,20}\|?>"
_FINAL_WORDS = (
    r"\b(?:final(?:ly)?|answers?|results?|output|response|solution|corrected|revised|conclusion"
    r"|therefore|thus|boxed|endgültig\w*|antwort|ergebnis|réponse|résultat|respuesta|resultado"
    rf"|risposta|resposta)(?!\w)|{_FINAL_TAG}|最终|答案|结果|回答|輸出|输出"
)
_WORDS = re.compile(
    f"(?P<example>{_EXAMPLE_WORDS})|(?P<remark>{_REMARK_WORDS})"
    f"|(?P<revision>{_REVISION_WORDS})|(?P<final>{_FINAL_WORDS})",
    re.IGNORECASE,
)
_LABELS = {
    "example": Label.EXAMPLE,
    "remark": Label.REMARK,
    "revision": Label.REVISION,
    "final": Label.FINAL,
}
_FENCE_BEFORE = re.compile(r"(?:```|~~~)\w*\s*\Z")
_SENTENCE_END = re.compile(r"(?<!e\.g)[.!?]\s|[。！？]")  # noqa: RUF001 - the characters of other scripts are meant
# "Here is the data in the requested format" says that this is the answer.
_IN_FORMAT = re.compile(
    r"\b(?:here(?:['\u2019]s| is| are)|below is|sure|certainly|extracted"
    rf"|(?:the|my) (?:\w+ )?(?:{_THING}|data|information))\b[^.?!\n]*?"
    r"\b(?:in|using|per|to|with|match\w*|follow\w*|fit\w*|satisf\w+|conform\w*)\s"
    r"(?:\w+\s){0,4}?(?:format|schema|structure|template)(?:ted)?\b",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"\b(?:would|could|might|may|should|must|has to|needs? to|expected|examples?)\b"
    r"|['\u2019]d\b",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(
    r"\b(?:would|could|might|may|should|must|has to|needs? to|will|shall|once|so that|shape|form"
    r"|valid|possible|typical)\b|['\u2019](?:d|ll)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:cannot|can not|can['\u2019]t|unable|won['\u2019]t|could not|couldn['\u2019]t|not able"
    r"|(?:do not|don['\u2019]t) (?:have|know|see)|(?:could|can) you"
    r"|no (?:\w+ ){0,2}(?:documents?|texts?|files?|inputs?|attachments?|images?|content)"
    r"|please (?:share|provide|send|give|paste|upload))\b",
    re.IGNORECASE,
)


def label_of(before: str) -> Label:
    """Return the label in the line before a value; of several words the last one decides."""
    line = _FENCE_BEFORE.sub("", before).strip().rpartition("\n")[2]
    sentence = _SENTENCE_END.split(line)[-1]
    if not _HYPOTHETICAL.search(sentence):
        line = _IN_FORMAT.sub("", line)
    said = [_LABELS[word.lastgroup or ""] for word in _WORDS.finditer(line)]
    label = said[-1] if said else Label.NONE
    if label is Label.REMARK and Label.EXAMPLE in said:
        return Label.EXAMPLE
    # A hypothetical value is an example if the model says that it cannot answer.
    supposed = label is Label.REMARK or _CONDITIONAL.search(sentence)
    return Label.EXAMPLE if supposed and _REFUSAL.search(before) else label


_SUBJECT = (
    r"(?:that(?! is)|this|that|it|(?:the|my|this|that) (?:above |previous |last |first )?"
    rf"(?:{_THING}|above)(?: above)?)"
)
_TAKEN_BACK = re.compile(
    r"(?:\A|[.!?\n]|[-\u2013\u2014]{1,2})[ \t*_>]*(?:oh,? |hmm,? |no,? |but )?"
    r"(?:wait|hold on|oops|whoops"
    r"|hmm|correction|actually|no, (?:that|this|it)|moment,|等等|不对)(?!\w)"
    r"|(?:\A|\n)[ \t*_>#]*(?:(?:the|my) )?(?:final|corrected|revised|updated|correct|edit)"
    rf"(?: {_THING}| version)?(?:\*\*)?:"
    r"|\A[ \t`*_]*\?"
    r"|\b(?:scratch|strike) that\b|\bnever ?mind\b|\bon second thoughts?\b"
    r"|\blet me (?:re\w+|correct|fix|try|redo|start over|think again|check again)\b"
    r"|\bi(?: was|['\u2019]m| am) (?:wrong|mistaken)\b|\bmy (?:mistake|bad)\b"
    r"|\bi(?: have|['\u2019]ve)? made (?:a|an) (?:\w+ )?(?:mistake|error)\b"
    r"|\b(?:disregard|ignore|discard|forget|retract|withdraw)\s"
    rf"(?:all |everything |what |the |that|this|my |it\b)(?:[\w ]{{0,20}}(?:above|{_THING}))?"
    r"|\bi(?: am|['\u2019]m) (?:unable|not able) to (?:answer|help|comply|provide)\b"
    r"|\btake (?:that|this|it) back\b"
    r"|\bi (?:cannot|can not|can['\u2019]t|won['\u2019]t|will not|refuse to) "
    r"(?:answer|help|do (?:this|that)|comply|provide)\b"
    rf"|(?<!if )\b{_SUBJECT}(?:['\u2019]s| is| was| are| seems| looks)"
    r"(?: (?:actually|clearly|just|only|still|obviously|of course|completely|also))*"
    r" (?:wrong|incorrect|invalid|mistaken|false|not (?:right|correct|valid|what"
    r"|true|final|it\b|my|the)"
    r"|an? (?:\w+ )?(?:mistake|error|draft|example|guess|placeholder|sample|template))\b"
    rf"|(?<!if )\b{_SUBJECT} (?:is|was)n['\u2019]t (?:quite )?(?:right|correct|valid|true)\b"
    r"|\A[ \t`*_]*(?:is|was|would be|could be|might be) (?:just |only |merely )?(?:an?|the)"
    r" (?:\w+ )?(?:mistake|error|draft|example|guess|placeholder|sample|template|format|schema)\b"
    r"|\b(?:das|dies) (?:ist|war) (?:leider )?(?:falsch|nicht richtig)\b|忽略|错了|有误",
    re.IGNORECASE,
)


def is_taken_back(behind: str) -> bool:
    """Return True if the words after a value revoke it."""
    return _TAKEN_BACK.search(behind) is not None


_ANNOUNCEMENT = re.compile(
    rf"(?:{_FINAL_WORDS}|\b(?:json|version|correction|correct|updated|fixed)\b)"
    r"[^.?!:]{0,60}(?::|=|\bis|\bwould be|\bfollows)\Z"
    r"|\A(?:(?:now|so|then|and|here|is|comes|the|my|a|to)\W+)*(?:final|corrected|revised|correct"
    rf"|updated|fixed)(?: {_THING}| version)*:?\Z|{_FINAL_TAG}\Z",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"\b(?:explan\w+|explain\w*|reason\w*|notes?|why|how|details?|sources?|summary)\b",
    re.IGNORECASE,
)
MAX_LINE_CHARS = 200


def announces_more(behind: str) -> bool:
    """Return True if the words after a value end by announcing another value."""
    text = _FENCE_BEFORE.sub("", behind[-MAX_LINE_CHARS:]).strip(" \t\r\n*_`#>-")
    tag = behind.rstrip()[-60:]
    if re.search(rf"{_FINAL_TAG}\Z", tag, re.IGNORECASE):
        return True
    line = text.rpartition("\n")[2]
    return bool(_ANNOUNCEMENT.search(line)) and not _EXPLAINS.search(line)


# A place at which a model without turn tokens invents the user's next message.
_TURN = re.compile(
    r"^[ \t]*(?:#{1,4}[ \t]*(?:Instructions?|Human|User|Question|Prompt)\b|(?:\*\*)?"
    r"(?:Human|HUMAN|User|USER)(?:\*\*)?[ \t]*:|\[?(?:INST|USER|HUMAN)\]|(?:user|human)[ \t]*$"
    r"|(?P<unsure>(?:\*\*|#{1,4}[ \t]*)?(?:Q|Question|Instructions?|Input|Prompt|Text|Document)"
    r"(?:[ \t]\d{1,3})?(?:\*\*)?[ \t]*:|(?:\*\*)?Assistant(?:\*\*)?[ \t]*:|assistant[ \t]*$))"
    # The same if the server has removed the turn tokens.
    r"|(?<=[}\]])(?P<bare>assistant|user)[ \t]*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A line in which a user seems to speak; `sure`: it cannot be anything else."""

    start: int
    sure: bool


def next_turn(text: str, start: int, end: int) -> SpokenTurn | None:
    """Return the next line in which a user speaks; None if there is none."""
    match = _TURN.search(text, start, end)
    return SpokenTurn(match.start(), sure=not (match["unsure"] or match["bare"])) if match else None
