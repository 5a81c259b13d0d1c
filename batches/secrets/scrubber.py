"""Remove the key of a provider from its replies, so that an echo is never stored or shown.

The key is recognised in every encoding that readers decode, also in nested ones: escapes of JSON
and of JSON inside JSON, percent-encoding, HTML entities, UTF-16 and UTF-32; and in base64 and hex.
A text is first decoded as a whole, which is cheap; only a text with the key is searched.
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from functools import cache
from html.entities import html5
from urllib.parse import unquote

SCRUBBED = "[key]"

# A shorter key occurs in answers by chance, and is easily guessed. Words of only letters, and
# numbers, occur more often.
LEAST_CHARS = 6
LEAST_LETTERS = 8
LEAST_DIGITS = 16

# Words of the reply format, and placeholders for servers without keys. They are not secret, and
# removing them would garble replies.
_PUBLIC_WORDS = """
    chat.completion.chunk choices message content role assistant developer function_call tool_calls
    arguments finish_reason stop_reason stop_sequence content_filter completion_tokens prompt_tokens
    total_tokens input_tokens output_tokens cached_tokens reasoning_tokens reasoning_content
    prompt_tokens_details completion_tokens_details input_tokens_details output_tokens_details
    service_tier system_fingerprint annotations logprobs refusal embeddings output_text incomplete
    completed in_progress response.completed parallel_tool_calls instructions temperature moderation
    lm-studio not-needed not-required no-key-required sk-no-key-required placeholder ollama
""".split()

# The deepest nesting of encodings, and the number of backslashes that it takes.
DEPTH = 4
_BACKSLASHES = r"\\{0,16}"
# Cut numbers that are too long for Python; no plain character needs more digits.
_NUMBER = re.compile(r"&#0*([0-9]{1,7})[0-9]*")
_ESCAPE = re.compile(r"\\{1,16}(?:[uU]00|[xX]|u\{0{0,8})([2-7][0-9A-Fa-f])\}?")
# A text without these marks has only backslashes to decode. Separate patterns are faster.
_MARKS = [re.compile(mark) for mark in ("u00[2-7]", "U00[2-7]", r"u\{", r"\\[xX]", "%[2-7]", "&")]
# A longer text with an encoded key is dropped, since finding the place takes long.
MOST_SEARCHED = 1024 * 1024


class SecretScrubber:
    """Remove one key from texts and bytes."""

    def __init__(self, key: str) -> None:
        self._forms = _forms(key) if is_secret(key) else ()
        # With the backslashes before it: one that is left alone would spoil the JSON around it.
        plain = "|".join(map(re.escape, self._forms))
        self._plain = re.compile(rf"(?<!\\){_BACKSLASHES}(?:{plain})")
        self._bare = tuple(form.replace("\\", "") for form in self._forms)
        starts = "".join({re.escape(form[0]) for form in self._forms})
        spellings = "|".join("".join(map(_spelled, form)) for form in self._forms)
        # Never start inside a run of backslashes: none is left alone, and long runs stay cheap.
        self._pattern = re.compile(rf"(?<!\\)(?=[\\%&{starts}])(?:{spellings})")

    def text(self, text: str) -> str:
        """Return a text without the key; only SCRUBBED if the place of the key is not found."""
        if not self._forms or not self._is_in(text):
            return text
        # First in every spelling: the last part of an escape may be the first of a plain key.
        if len(text) <= MOST_SEARCHED:
            text = self._pattern.sub(SCRUBBED, text)
        text = self._plain.sub(SCRUBBED, text)
        return SCRUBBED if self._is_in(text) else text

    def raw(self, raw: bytes) -> bytes:
        """Return bytes without the key; UTF-16 and UTF-32 become UTF-8."""
        if not self._forms:
            return raw
        encoding = json.detect_encoding(raw)
        if encoding.startswith("utf-8"):
            # Latin-1 decodes any bytes, and encodes them back unchanged.
            text = raw.decode("latin-1")
            scrubbed = self.text(text)
            return raw if scrubbed is text else scrubbed.encode("latin-1")
        return self.text(raw.decode(encoding, "replace")).encode("utf-8", "replace")

    def _is_in(self, text: str) -> bool:
        if _has(text, self._forms):
            return True
        if "\\" in text and _has(text.replace("\\", ""), self._bare):
            return True
        return any(mark.search(text) for mark in _MARKS) and _has(_unfold(text), self._bare)


def _has(text: str, forms: Iterable[str]) -> bool:
    # A loop takes half the time of any(), and every reply is checked.
    for form in forms:  # noqa: SIM110 - a loop is faster here
        if form in text:
            return True
    return False


def is_secret(key: str) -> bool:
    """Return True if a key is not a placeholder and too long to occur in texts by chance."""
    if any(key.lower() in word for word in _PUBLIC_WORDS):
        return False
    if not re.search(r"[A-Za-z]", key):
        return len(key) >= LEAST_DIGITS
    is_word = key.isalpha() and (key.islower() or key.isupper() or key.istitle())
    return len(key) >= (LEAST_LETTERS if is_word else LEAST_CHARS)


def _forms(key: str) -> tuple[str, ...]:
    """Return the forms of a key in plain text, in base64 and in hex."""
    raw = key.encode()
    hexadecimal = raw.hex()
    coded = [_base64_core(raw, before) for before in range(3)]
    web_safe = [core.translate(str.maketrans("+/", "-_")) for core in coded]
    return tuple(dict.fromkeys([key, *coded, *web_safe, hexadecimal, hexadecimal.upper()]))


def _base64_core(raw: bytes, before: int) -> str:
    """Return the base64 characters for these bytes after 0 to 2 other bytes, without characters
    that depend on the bytes around them."""
    whole = base64.b64encode(bytes(before) + raw).decode()
    return whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]


@cache
def _spelled(char: str) -> str:
    """Return a pattern for all encodings of a character of a key."""
    code = ord(char)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{code:02x}")
    names = [name.rstrip(";") for name, value in html5.items() if value == char]
    entities = "|".join([f"#0{{0,8}}{code}", f"#[xX]0{{0,8}}{digits}", *sorted(set(names))[::-1]])
    return (
        f"(?:{_BACKSLASHES}{re.escape(char)}"
        rf"|\\{{1,16}}(?:[uU]00|[xX]|u\{{0{{0,8}}){digits}\}}?"
        rf"|(?:%|\\{{1,16}}u0025)(?:25){{0,8}}{digits}"
        rf"|(?:&|\\{{1,16}}u0026)(?:amp;){{0,8}}(?:{entities});?)"
    )


def _unfold(text: str) -> str:
    """Return a text with all encodings of plain characters decoded, and without backslashes."""
    for _ in range(DEPTH):
        numbered = _NUMBER.sub(r"&#\1", _ESCAPE.sub(_unescape, text))
        unfolded = unquote(html.unescape(numbered), encoding="latin-1")
        if unfolded == text:
            break
        text = unfolded
    return text.replace("\\", "")


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))
