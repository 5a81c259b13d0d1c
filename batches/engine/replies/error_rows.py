"""A row of the error table, and the matching of its statuses, codes and phrases."""

import re
from dataclasses import dataclass
from functools import cached_property

from batches.engine.errors import ProviderError

# A gap in a phrase stands for up to this many words.
GAP = "…"
_GAP_WORDS = r"(?:[:=]|[^\s,;!?]*[^\s,;!?.:])?(?:[ ][^\s,;!?]*[^\s,;!?.:]){0,5}?"


@dataclass(frozen=True)
class ErrorRow:
    """A pattern of errors, its error class, and the vendors that use it.

    A row matches if the status is in its ranges and one of its codes or phrases is found. `codes`
    match a code, type or reason, without regard to case, punctuation and a final "error"; `*`
    stands for any text. `words` match the provider's own words, outside of quotation marks unless
    `in_quotes`; `…` stands for up to five words. `statuses` are inclusive ranges. A row with
    `unless_json` matches only a body that is a page or plain text.
    """

    means: type[ProviderError]
    source: str
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    statuses: tuple[tuple[int, int], ...] = ()
    in_quotes: bool = False
    unless_json: bool = False

    @cached_property
    def _codes(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_code_pattern, self.codes)))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_word_pattern, self.words)), re.I)

    def has_code_of(self, said: "Said") -> bool:
        return bool(self.codes) and any(map(self._codes.fullmatch, said.codes))

    def matches(self, said: "Said") -> bool:
        if self.unless_json and said.is_json:
            return False
        if self.statuses and not any(low <= said.status <= high for low, high in self.statuses):
            return False
        if not self.codes and not self.words:
            return True
        if self.has_code_of(said):
            return True
        words = said.all_words if self.in_quotes else said.words
        return bool(self.words and self._words.search(words))


@dataclass(frozen=True, slots=True)
class Said:
    """The content of an error reply.

    `codes` are normalised by `plain_code`. `words` are the provider's own words, `all_words`
    include the text that it quotes.
    """

    status: int
    codes: tuple[str, ...] = ()
    words: str = ""
    all_words: str = ""
    is_json: bool = True


def plain_code(code: str) -> str:
    """Return a code in lower case, without punctuation and a final "error" or "exception"."""
    plain = re.sub(r"[^\w*]|_", "", code.lower())
    return re.sub(r"(?:error|exception)$", "", plain) or plain


def _code_pattern(code: str) -> str:
    return re.escape(plain_code(code)).replace(r"\*", ".*")


def _word_pattern(phrase: str) -> str:
    parts = [re.escape(part.strip()).replace(r"\ ", "[ _-]+") for part in phrase.split(GAP)]
    joined = (_GAP_WORDS + r"[ ]+").join(parts).replace("api[ _-]+key", "api[ _-]*key")
    start = r"\b" if re.match(r"[a-z]", phrase) else ""
    return start + joined


def split(text: str) -> tuple[str, ...]:
    """Return the parts of a text between semicolons."""
    return tuple(" ".join(part.split()) for part in text.split(";"))
