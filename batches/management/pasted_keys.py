"""Recognise an API key among the arguments of a command, which must not be echoed or stored."""

import re
from collections.abc import Iterator, Sequence

# Prefixes of keys; what follows must have a letter and a digit.
_PREFIXED = re.compile(
    r"(?:sk|rk|pk|gsk|xai|hf|r8|nvapi|pplx|csk|fw|key|api)[-_](?=.*\d)(?=.*[A-Za-z])[\w-]{12,}"
    r"|(?:AIza|AKIA|ya29\.|eyJ)[\w.-]{16,}"
)
# Letters and digits without any break, as no name has them.
_DENSE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9]{24,}")
_ID_OF_BATCH = re.compile(r"[0-9a-f]{1,32}")
_PARTS_OF_URL = re.compile(r"[/:?&=@#]")
ID_OPTIONS = ("--resume", "--retry")

ADVICE = (
    "an argument looks like an API key, so nothing was done. A key is read from an environment "
    "variable: export MY_KEY=..., then --api-key-env MY_KEY. "
    "This key may be in the history of your shell now"
)


def has_key(arguments: Sequence[str], *, takes_ids: bool) -> bool:
    """Return True if an argument of a command looks like a key, or has one in its URL."""
    before = ""
    for argument in arguments:
        may_be_id = takes_ids or before in ID_OPTIONS or argument.startswith(ID_OPTIONS)
        if any(_is_key(text, may_be_id=may_be_id) for text in _texts_in(argument)):
            return True
        before = argument
    return False


def _texts_in(argument: str) -> Iterator[str]:
    value = argument.partition("=")[2] if argument.startswith("--") else argument
    if "://" in value:
        # The host and the path of a URL may be as dense as a key.
        yield from filter(_PREFIXED.fullmatch, _PARTS_OF_URL.split(value))
    else:
        yield value.removeprefix("Bearer ").strip()


def _is_key(text: str, *, may_be_id: bool) -> bool:
    if may_be_id and _ID_OF_BATCH.fullmatch(text):
        return False
    return bool(_PREFIXED.fullmatch(text) or _DENSE.fullmatch(text))
