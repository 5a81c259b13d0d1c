"""Recognise the encoding of a text from its bytes, if it is clear."""

import codecs
import re

UTF8_BOM = codecs.BOM_UTF8

# Longer marks first: one mark is the beginning of another.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Even in UTF-16 of non-Latin letters, spaces and line ends have a NUL as upper byte.
_NULS_IN_100_PAIRS = 10
_FEWEST_NULS = 2
_TIMES_AS_MANY = 8

WESTERN = "cp1252"
# Letters and signs that are common in Windows-1252 texts. At the places of other code pages'
# letters, Windows-1252 has some rare letters that are not listed, such as the Icelandic ones.
_COMMON = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœ"
    "\N{NO-BREAK SPACE}€‚„…‘’“”•–—™¡¢£¥§©ª«®°±²³´·º»¼½¾¿×÷"  # noqa: RUF001 - they are meant
)
# Positions of signs that do not occur in western languages: another code page has letters there.
_ODD_PLACES = re.compile(
    r"[²³]\w|[^\W\d_][¿¡¢£¥§ª©®]\w|[^\W\d_][±¼½¾×÷‚„“”][^\W\d_]|[ªº][^\W\d_]"  # noqa: RUF001 - the same
    r"|[Œœ](?![cdeintsu])|õ(?!e)"
)
# Texts in other scripts have whole words of such letters; French and German have two in a row.
_MOST_IN_A_ROW = 2
_ROW = re.compile(r"[^\W\d_]+")


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text from its first bytes: its byte order mark or its NULs.

    The result is UTF-16, UTF-32, or for anything else UTF-8.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    upper, lower = head[1::2].count(0), head[0::2].count(0)
    for most, least, name in ((upper, lower, "utf-16-le"), (lower, upper, "utf-16-be")):
        is_common = most >= _FEWEST_NULS and most * 100 >= pairs * _NULS_IN_100_PAIRS
        if is_common and most > least * _TIMES_AS_MANY:
            return name
    return "utf-8"


def western_text(raw: bytes) -> str | None:
    """Return the text of a line that is not UTF-8, if it is clearly Windows-1252, else None."""
    try:
        text = raw.decode(WESTERN)
    except UnicodeDecodeError:
        return None
    high = {char for char in text if ord(char) > 127}
    return None if high - _COMMON or _ODD_PLACES.search(text) or _has_foreign_words(text) else text


def _has_foreign_words(text: str) -> bool:
    for word in _ROW.findall(text):
        in_a_row = longest = 0
        for char in word:
            in_a_row = in_a_row + 1 if ord(char) > 127 else 0
            longest = max(longest, in_a_row)
        if longest > _MOST_IN_A_ROW:
            return True
    return False
