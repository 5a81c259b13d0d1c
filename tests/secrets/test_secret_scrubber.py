"""A key is found in every spelling that readers decode, and nothing else is touched."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.secrets.scrubber import SCRUBBED, SecretScrubber, is_secret

KEY = "sk-canary-0123456789/abcdef+ghijkl="
KEYS = [KEY, "sk-ab1", "k3y/+=&%\"'\\<>", "Hunter2", "hunterhunter", "0" * 16, "a.b_c-d"]

Spelling = Callable[[str], str]


def each(form: str) -> Spelling:
    """Spell every character alike; the form is given its code."""
    return lambda text: "".join(form.format(ord(char)) for char in text)


def mixed_case(text: str) -> str:
    escaped = "".join(f"\\u{ord(char):04x}" for char in text)
    return "".join(c.upper() if n % 3 and c != "u" else c for n, c in enumerate(escaped))


def in_base64(before: str, after: str = "") -> Spelling:
    return lambda text: base64.b64encode(f"{before}{text}{after}".encode()).decode()


SPELLINGS: dict[str, Spelling] = {
    "plain": str,
    "escaped": each("\\u{:04x}"),
    "escaped in capitals": each("\\u{:04X}"),
    "escaped in mixed case": mixed_case,
    "escaped in braces": each("\\u{{{:x}}}"),
    "bytes": each("\\x{:02x}"),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(each("\\u{:04x}")(text)))[3:-3],
    "JSON in JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps(text)))[5:-5],
    "percent": each("%{:02x}"),
    "percent in capitals": each("%{:02X}"),
    "percent twice": each("%25{:02x}"),
    "a query": lambda text: quote(text, safe=""),
    "percent in JSON": each("\\u0025{:02x}"),
    "entities": each("&#{};"),
    "entities without an end": each("&#{:07}"),
    "hexadecimal entities": each("&#x{:x};"),
    "capital entities": each("&#X{:04X};"),
    "entities twice": each("&amp;#{};"),
    "entities in JSON": each("\\u0026#{};"),
    "named entities": lambda text: text.replace("&", "&amp;").replace("<", "&lt;"),
    "base64": in_base64(""),
    "base64 behind another": in_base64("x", "yz"),
    "base64 behind a user": in_base64("user:"),
    "base64 behind two": in_base64("ab", "c"),
    "base64 of the web": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in JSON": lambda text: in_base64("Bearer ")(text).replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_key_is_found_however_it_is_spelt(spelling: Spelling, key: str) -> None:
    text = f"You said «{spelling(key)}»."
    scrubbed = SecretScrubber(key).text(text)
    assert SCRUBBED in scrubbed
    assert scrubbed.startswith("You said «")
    assert scrubbed.endswith("».")
    # Of base64 something of what stood around the key may be left.
    assert len(scrubbed) < len("You said «[key]».") + 20


# How one character of a key may come, beside others that come otherwise.
OF_A_CHARACTER = [
    *("{0}", "\\{0}", "\\\\{0}", "\\u{1:04x}", "\\u{1:04X}", "\\\\u{1:04x}", "\\x{1:02X}"),
    *("%{1:02x}", "%25{1:02X}", "&#{1};", "&#x{1:x};", "&amp;#x{1:X};", "\\u0025{1:02x}"),
]


@given(st.sampled_from(KEYS), st.data())
def test_so_it_is_if_each_character_is_spelt_otherwise(key: str, data: st.DataObject) -> None:
    forms = data.draw(st.lists(st.sampled_from(OF_A_CHARACTER), min_size=len(key)))
    spelt = "".join(form.format(char, ord(char)) for form, char in zip(forms, key, strict=False))
    assert SecretScrubber(key).text(f"a «{spelt}» b") == f"a «{SCRUBBED}» b"


@pytest.mark.parametrize("before", ["\\", "\\\\", "\\\\\\"])
def test_json_stays_json_where_a_key_follows_a_backslash(before: str) -> None:
    # An escape of JSON may end in the first character of a key: \n and sk-..., or the key nsk-...
    raw = f'{{"said": "{before}nsk-abcdef123"}}'
    assert json.loads(SecretScrubber("nsk-abcdef123").text(raw)) == {"said": SCRUBBED}


@given(st.sampled_from(KEYS), st.text())
def test_another_text_is_left_alone(key: str, text: str) -> None:
    assert SecretScrubber(key).text(text) == text
    raw = json.dumps({"answer": text}).encode()
    assert SecretScrubber(key).raw(raw) is raw


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_a_key_is_found_in_every_encoding_that_json_has(encoding: str) -> None:
    raw = json.dumps({"answer": f"é {KEY}"}, ensure_ascii=False).encode(encoding)
    read = json.loads(SecretScrubber(KEY).raw(raw))
    assert read == {"answer": f"é {SCRUBBED}"}


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    raw = b"\xff\xfd\xc3" + KEY.encode() + b"\x80"
    assert SecretScrubber(KEY).raw(raw) == b"\xff\xfd\xc3[key]\x80"


def test_a_text_is_lost_rather_than_a_key() -> None:
    deep = "".join(f"&#92;u{ord(char):04x}" for char in KEY)
    assert SecretScrubber(KEY).text(f"before {deep} behind") == SCRUBBED


@pytest.mark.parametrize(
    "key",
    [
        *("", "k", "k3y", "ab-12", "x", "1", "EMPTY", "none", "null", "secret", "Bearer", "ollama"),
        *("choices", "assistant", "completion", "tool_calls", "not-needed", "lm-studio"),
        *("12345678", "2026-11-28", "1700000000"),
    ],
)
def test_a_placeholder_is_no_secret(key: str) -> None:
    text = f"the {key} of the choices: 1700000000, EMPTY"
    assert not is_secret(key)
    assert SecretScrubber(key).text(text) == text
    assert SecretScrubber(key).raw(text.encode()) == text.encode()


@pytest.mark.parametrize(
    "key", ["sk-123", "abc123", "pass-w", "password", "aBcDeF", "1234567890123456"]
)
def test_a_short_key_is_one(key: str) -> None:
    assert is_secret(key)
    assert key not in SecretScrubber(key).text(f"no such key: {key}")


@pytest.mark.parametrize(
    "text",
    [
        *("\\" * 500_000, "s\\" * 250_000, "&amp;" * 100_000, "%25" * 150_000),
        *("&#" + "1" * 5000, "&#" + "0" * 5000 + "115", "&#1" * 100_000),
    ],
)
def test_a_hostile_text_is_read_in_one_go(text: str) -> None:
    assert KEY not in SecretScrubber(KEY).text(f"{text}{KEY}")
